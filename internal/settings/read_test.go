package settings

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// empty is a file without settings.
func empty(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), File)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhatKubernetesSaysOfServicesIsNoSetting(t *testing.T) {
	environment := []string{
		"PARLEY_SERVICE_HOST=10.0.0.1", "PARLEY_SERVICE_PORT=4001", "PARLEY_SERVICE_PORT_PEERS=4001", "PARLEY_PORT=tcp://10.0.0.1:4001",
		"PARLEY_PORT_4001_TCP=tcp://10.0.0.1:4001", "PARLEY_PORT_4001_TCP_ADDR=10.0.0.1",
		"PARLEY_API_SERVICE_HOST=10.0.0.2", "PARLEY_API_PORT_80_TCP_PROTO=tcp",
		"PARLEY_LIMITS_OPEN=7",
	}
	s, _, err := Read(empty(t), environment, nil)
	if err != nil || s.Limits.Open != 7 {
		t.Errorf("limits.open is %d (%v)", s.Limits.Open, err)
	}
	for _, mistyped := range []string{"PARLEY_LIMIT_OPEN=7", "PARLEY_LISTEN_PORT=4001", "PARLEY_PORTS=1"} {
		if _, _, err := Read(empty(t), append(environment, mistyped), nil); err == nil || !strings.Contains(err.Error(), "unset it") {
			t.Errorf("%s is taken: %v", mistyped, err)
		}
	}
	if _, _, err := Read(empty(t), []string{"PARLEY_PORT=4001"}, nil); err == nil {
		t.Error("without a service PARLEY_PORT is taken")
	}
}

func TestASocketThatDependsOnWhereOneStandsIsRefused(t *testing.T) {
	for path, good := range map[string]bool{"parley.sock": true, "/run/parley.sock": true, "run/parley.sock": false, "./parley.sock": false, "": false} {
		if _, _, err := Read(empty(t), nil, map[string]string{"api.socket": path}); (err == nil) != good {
			t.Errorf("api.socket = %q: %v", path, err)
		}
	}
}
