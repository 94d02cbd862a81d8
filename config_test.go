package parley_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/parley-p2p/parley"
)

// Every number of Config may be left out, and none may be negative: the error says
// which one is.
func TestConfigRefusesWhatIsNegative(t *testing.T) {
	key, numbers := newKey(t), 0
	for field := range reflect.TypeFor[parley.Config]().Fields() {
		var config parley.Config
		value := reflect.ValueOf(&config).Elem().FieldByIndex(field.Index)
		if !value.CanInt() {
			continue
		}
		numbers++
		value.SetInt(-1)
		h, err := parley.New("", key, config)
		if err == nil {
			h.Close()
			t.Errorf("%s may be negative", field.Name)
		} else if !strings.Contains(err.Error(), "Config."+field.Name+" is -1") {
			t.Errorf("a negative %s gives %q", field.Name, err)
		}
	}
	if numbers < 30 {
		t.Errorf("only %d numbers were found", numbers)
	}
}
