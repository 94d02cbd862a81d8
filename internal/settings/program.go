package settings

import (
	"errors"
	"fmt"
)

// programTemplate is what the file of a new node says of programs.
const programTemplate = `
# Requests of lanes that begin so can be answered by a program, which reads the request
# and prints the reply. Repeat the table for others; see parley run --help.
# [[program]]
# lane = ""
# command = "./handler"   # or ["./handler", "argument"]
# concurrency = 4
# time_limit = "1m"
# attempts = 6            # then it is a dead letter: parley deadletters
`

// check refuses what can't be meant.
func (p Program) check() error {
	for name, d := range map[string]Duration{"time_limit": p.TimeLimit, "retry_min": p.RetryMin, "retry_max": p.RetryMax} {
		if d.withoutUnit() {
			return fmt.Errorf("%s: %w", name, errUnit)
		}
	}
	_, err := p.CommandLine()
	return err
}

// CommandLine is the program's path and its arguments.
func (p Program) CommandLine() ([]string, error) {
	wrong := errors.New("command: want a path, or a list of a path and arguments")
	switch command := p.Command.(type) {
	case string:
		return []string{command}, nil
	case []any:
		var all []string
		for _, one := range command {
			text, is := one.(string)
			if !is {
				return nil, wrong
			}
			all = append(all, text)
		}
		return all, nil
	default:
		return nil, wrong
	}
}
