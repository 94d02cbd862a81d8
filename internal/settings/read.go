package settings

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Error says which setting is wrong, and where it was set.
type Error struct {
	Where string // "parley.toml", "environment" or "command line"
	Line  int    // of the file; 0: none in particular
	Err   error
}

func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s, line %d: %v", e.Where, e.Line, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Where, e.Err)
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// Setting is one of the settings, and whence its value came.
type Setting struct {
	Name    string // as in "timeouts.idle"
	Value   any
	Doc     string
	Default string
	From    string // "default", the file's path, the variable's name or "command line"
}

// Variable is the environment's name of a setting.
func (s Setting) Variable() string {
	return "PARLEY_" + strings.ToUpper(strings.ReplaceAll(s.Name, ".", "_"))
}

// Read reads the settings: the defaults, over which goes the file at path, the
// environment (PARLEY_TIMEOUTS_IDLE is timeouts.idle), and what the command line sets
// by name. Every error is an *Error, or says that the file can't be read.
func Read(path string, environment []string, commandLine map[string]string) (Settings, []Setting, error) {
	var s Settings
	from := map[string]string{}
	for _, one := range all(&s) {
		if err := s.set(one.Name, one.Default); err != nil {
			return s, nil, err
		}
		from[one.Name] = "default"
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return s, nil, err
	}
	if err := s.merge(string(text), path); err != nil {
		return s, nil, err
	}
	for name := range named(string(text)) {
		from[name] = path
	}
	if err := s.setByEnvironment(environment, from); err != nil {
		return s, nil, err
	}
	for name, value := range commandLine {
		if err := s.set(name, value); err != nil {
			return s, nil, &Error{Where: "command line", Err: fmt.Errorf("%s: %w", name, err)}
		}
		from[name] = "command line"
	}
	for i, p := range s.Programs {
		if err := p.check(); err != nil {
			return s, nil, &Error{Where: path, Err: fmt.Errorf("program %d, lane %q: %w", i+1, p.Lane, err)}
		}
	}
	if socket := s.API.Socket; !filepath.IsAbs(socket) && (socket == "" || strings.ContainsRune(socket, '/')) {
		return s, nil, &Error{Where: from["api.socket"], Err: fmt.Errorf("api.socket: %q: write an absolute path, or a name without a slash, which then lies in the node's directory", socket)}
	}
	settings := all(&s)
	for i, one := range settings {
		settings[i].From = from[one.Name]
		if d, is := one.Value.(Duration); is && d.withoutUnit() {
			return s, nil, &Error{Where: from[one.Name], Err: fmt.Errorf("%s: %w", one.Name, errUnit)}
		}
	}
	return s, settings, nil
}

// merge takes over what a file says.
func (s *Settings) merge(text, where string) error {
	err := toml.NewDecoder(strings.NewReader(text)).DisallowUnknownFields().Decode(s)
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		first := unknown.Errors[0]
		line, _ := first.Position()
		return &Error{where, line, fmt.Errorf("there is no setting %q: parley config view lists them all", strings.Join(first.Key(), "."))}
	case errors.As(err, &wrong):
		line, _ := wrong.Position()
		return &Error{where, line, errors.New(strings.TrimPrefix(wrong.Error(), "toml: "))}
	case err != nil:
		return &Error{where, 0, err}
	}
	return nil
}

// setByEnvironment takes over the variables that begin with PARLEY_, all of which
// must be settings, but for those that have other meanings.
func (s *Settings) setByEnvironment(environment []string, from map[string]string) error {
	services := servicesIn(environment)
	for _, variable := range environment {
		name, value, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, "PARLEY_") || slices.Contains(otherVariables, name) {
			continue
		}
		settings := all(s)
		at := slices.IndexFunc(settings, func(one Setting) bool { return one.Variable() == name })
		if at < 0 && ofService(name, services) {
			continue
		}
		if at < 0 {
			return &Error{Where: "environment", Err: fmt.Errorf("%s is the name of no setting: parley config view lists them all; unset it if it isn't meant for this node", name)}
		}
		if err := s.set(settings[at].Name, value); err != nil {
			return &Error{Where: "environment", Err: fmt.Errorf("%s: %w", name, err)}
		}
		from[settings[at].Name] = name
	}
	return nil
}

// servicesIn are the services that Kubernetes tells a container of, as variables have
// their names. One called parley, or parley-api, would seem to be settings.
func servicesIn(environment []string) (services []string) {
	for _, variable := range environment {
		name, _, _ := strings.Cut(variable, "=")
		if service, is := strings.CutSuffix(name, "_SERVICE_HOST"); is {
			services = append(services, service)
		}
	}
	return services
}

// ofService reports whether a variable tells of one of the services, as
// PARLEY_SERVICE_PORT_API or PARLEY_PORT_4001_TCP_ADDR do.
func ofService(name string, services []string) bool {
	return slices.ContainsFunc(services, func(service string) bool {
		rest, is := strings.CutPrefix(name, service+"_")
		return is && (rest == "SERVICE_HOST" || strings.HasPrefix(rest+"_", "SERVICE_PORT_") || strings.HasPrefix(rest+"_", "PORT_"))
	})
}

// otherVariables are those whose names begin so and that aren't settings: the node's
// directory, and what a program is told that answers a request.
var otherVariables = []string{
	"PARLEY_DIR", "PARLEY_EXCHANGE", "PARLEY_PEER", "PARLEY_NAME", "PARLEY_LANE", "PARLEY_DEADLINE", "PARLEY_REDELIVERED",
}

// set gives one setting a value, written as in the file but without quotes.
func (s *Settings) set(name, value string) error {
	for _, one := range all(s) {
		if one.Name != name {
			continue
		}
		switch one.Value.(type) {
		case string, Duration:
			value = strconv.Quote(value)
		}
		if err := toml.NewDecoder(strings.NewReader(name + " = " + value)).DisallowUnknownFields().Decode(s); err != nil {
			return fmt.Errorf("%s is no value for it: %w", value, err)
		}
		return nil
	}
	return errors.New("there is no such setting: parley config view lists them all")
}

// Changed is the names of the settings that differ.
func Changed(a, b Settings) []string {
	var names []string
	before := all(&a)
	for i, one := range all(&b) {
		if before[i].Value != one.Value {
			names = append(names, one.Name)
		}
	}
	if !reflect.DeepEqual(a.Programs, b.Programs) {
		names = append(names, "program")
	}
	return names
}

// named is the names of what a file sets, which has been read once already.
func named(text string) map[string]bool {
	var tree map[string]any
	names := map[string]bool{}
	if toml.Unmarshal([]byte(text), &tree) != nil {
		return names
	}
	for key, value := range tree {
		table, is := value.(map[string]any)
		if !is {
			names[key] = true
		}
		for inner := range table {
			names[key+"."+inner] = true
		}
	}
	return names
}

// All is every setting there is, in the order of the file, without values.
func All() []Setting { return all(new(Settings)) }

// all is the settings with their values.
func all(s *Settings) []Setting {
	var list []Setting
	walk(reflect.ValueOf(s).Elem(), "", func(name string, f reflect.StructField, v reflect.Value) {
		list = append(list, Setting{Name: name, Value: v.Interface(), Doc: f.Tag.Get("doc"), Default: f.Tag.Get("default")})
	})
	return list
}

func walk(v reflect.Value, prefix string, visit func(string, reflect.StructField, reflect.Value)) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := prefix + f.Tag.Get("toml")
		switch v.Field(i).Kind() {
		case reflect.Struct:
			walk(v.Field(i), name+".", visit)
		case reflect.Slice: // tables that may be repeated: no single setting
		default:
			visit(name, f, v.Field(i))
		}
	}
}
