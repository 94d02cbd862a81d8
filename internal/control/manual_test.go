package control

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/parley-p2p/parley"
	v1 "github.com/parley-p2p/parley/proto/parley/v1"
	"github.com/parley-p2p/parley/proto/parley/v1/parleyv1connect"
)

// rpcs are the names of all calls.
func rpcs() (names []string) {
	methods := v1.File_parley_v1_node_proto.Services().ByName("Node").Methods()
	for i := range methods.Len() {
		names = append(names, string(methods.Get(i).Name()))
	}
	return names
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheManualNamesEverythingThatIsServed(t *testing.T) {
	manual, source := read(t, "../../docs/api.md"), read(t, "raw.go")
	wanted := []string{"`GET " + healthPath + "`"}
	for _, route := range regexp.MustCompile(`mux\.HandleFunc\("((?:GET|POST) /[^"]+)"`).FindAllStringSubmatch(source, -1) {
		wanted = append(wanted, "`"+route[1]+"`")
	}
	for _, header := range regexp.MustCompile(`"(Parley-[A-Za-z-]+)"`).FindAllStringSubmatch(source, -1) {
		wanted = append(wanted, "`"+header[1]+"`")
	}
	for _, names := range regexp.MustCompile(`n\.query\(r((?:, "\w+")+)\)`).FindAllStringSubmatch(source, -1) {
		for _, name := range regexp.MustCompile(`\w+`).FindAllString(names[1], -1) {
			wanted = append(wanted, "`"+name+"`")
		}
	}
	for _, name := range rpcs() {
		wanted = append(wanted, "`"+name+"`")
	}
	for kind := parley.MessageDropped; !strings.HasPrefix(kind.String(), "kind "); kind++ {
		wanted = append(wanted, "`"+kind.String()+"`")
	}
	for _, known := range codes {
		wanted = append(wanted, "`"+known.code.String()+"`")
	}
	if len(wanted) < 60 {
		t.Errorf("the source has but %d names: %q", len(wanted), wanted)
	}
	for _, name := range wanted {
		if !strings.Contains(manual, name) {
			t.Errorf("docs/api.md doesn't have %s", name)
		}
	}
}

func TestReadOnlyMayCallWhatTheProtocolSays(t *testing.T) {
	proto, manual := read(t, "../../proto/parley/v1/node.proto"), read(t, "../../docs/api.md")
	_, row, _ := strings.Cut(manual, "| readonly |")
	row, _, _ = strings.Cut(row, "\n")
	for _, name := range rpcs() {
		before, _, found := strings.Cut(proto, "rpc "+name+"(")
		comment := before[strings.LastIndexAny(before, ";}")+1:]
		may := looking["/"+parleyv1connect.NodeName+"/"+name]
		if !found || strings.Contains(comment, "(readonly)") != may || strings.Contains(row, "`"+name+"`") != may {
			t.Errorf("%s: the role readonly may call it: %v; node.proto or docs/api.md says otherwise", name, may)
		}
	}
}
