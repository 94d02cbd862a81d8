package settings

import (
	"fmt"
	"strings"
)

// Template is the file of a new node: what one sets first, and that there is more.
func Template(listen string) string {
	var b strings.Builder
	fmt.Fprintln(&b, "# The settings of this node. What isn't here has its default: parley config view")
	fmt.Fprintln(&b, "# lists all of them, with their values and where those were set.")
	fmt.Fprintln(&b)
	table := ""
	var s Settings
	for _, one := range all(&s) {
		short := one.Name
		if outer, inner, nested := strings.Cut(one.Name, "."); nested {
			if outer != "api" && outer != "log" {
				continue
			}
			if outer != table {
				fmt.Fprintf(&b, "\n[%s]\n", outer)
				table = outer
			}
			short = inner
		}
		fmt.Fprintf(&b, "# %s\n", one.Doc)
		if one.Name == "listen" {
			fmt.Fprintf(&b, "listen = %q\n", listen)
		} else {
			fmt.Fprintf(&b, "# %s = %q\n", short, one.Default)
		}
	}
	return b.String() + programTemplate
}
