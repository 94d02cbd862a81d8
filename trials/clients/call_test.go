package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The clients' own tests: the first node by TCP and a token, the second by its socket.
func TestEveryCallOfTheClients(t *testing.T) {
	for name, args := range map[string][]string{
		"python3": {filepath.Join(sources, "python", "test_node.py")},
		"cargo":   cargoArgs("test"),
	} {
		t.Run(name, func(t *testing.T) {
			need(t, name)
			c := newCouple(t)
			a, b := c.daemons[0], c.daemons[1]
			token, err := os.ReadFile(filepath.Join(a.directory, "admin.token"))
			if err != nil {
				t.Fatal(err)
			}
			command := exec.CommandContext(t.Context(), name, args...)
			command.Env = append(os.Environ(), "NODE_TCP="+a.api, "NODE_TOKEN="+strings.TrimSpace(string(token)), "NODE_SOCKET="+b.socket(), "PYTHONDONTWRITEBYTECODE=1")
			if text, err := command.CombinedOutput(); err != nil {
				t.Errorf("%v:\n%s", err, text)
			}
			c.end()
		})
	}
}
