package parley_test

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// bounded are the packages in which whatever grows must name its limit: those
// that a handler runs on.
var bounded = []string{".", "allowlist", "identity", "internal/audit", "internal/mediator", "internal/fsm", "internal/wire", "internal/journal", "internal/p2p", "internal/noise", "internal/programs", "internal/intake", "internal/control"}

// limit is a constant, or a field of a Config, that bounds something. Fields
// declared together, with one comment for them all, are one limit.
type limit struct {
	folder string
	names  []string
	values []quantity // of a field: its default
	says   string     // what the comment has
	at     token.Position
}

// limits are all that the source names.
type limits struct {
	config    []limit // fields of parley.Config, with their defaults
	headings  map[string]string
	constants []limit
	of        map[string]quantity // by name: "MaxOpen" of Config, "internal/fsm.maxBlamed"
	reader    reader
}

// readLimits gathers the limits from the source.
func readLimits(t *testing.T) limits {
	t.Helper()
	l := limits{headings: map[string]string{}, of: map[string]quantity{}, reader: reader{consts: map[string]declared{}}}
	for _, file := range productSource(t) {
		if slices.Contains(bounded, file.folder) && !ast.IsGenerated(file.syntax) {
			l.reader.files = append(l.reader.files, file)
		}
	}
	for _, file := range l.reader.files {
		eachConstant(file, func(_ *ast.GenDecl, spec *ast.ValueSpec) {
			for i, name := range spec.Names {
				if i < len(spec.Values) {
					l.reader.consts[file.folder+"."+name.Name] = declared{file, spec.Values[i]}
				}
			}
		})
	}
	for _, file := range l.reader.files {
		l.readConstants(t, file)
	}
	l.readConfig(t)
	return l
}

func eachConstant(file source, do func(*ast.GenDecl, *ast.ValueSpec)) {
	for _, d := range file.syntax.Decls {
		if decl, ok := d.(*ast.GenDecl); ok && decl.Tok == token.CONST {
			for _, spec := range decl.Specs {
				do(decl, spec.(*ast.ValueSpec))
			}
		}
	}
}

// saysSo finds in a comment that its constant is a limit.
var saysSo = regexp.MustCompile(`\bbounds?\b`)

// namedSo finds it in the name.
var namedSo = regexp.MustCompile(`^[mM]ax[A-Z]|[a-z]Max$`)

// readConstants gathers the limits among a file's constants: those whose name
// begins with max, or whose comment says what they bound.
func (l *limits) readConstants(t *testing.T, file source) {
	eachConstant(file, func(decl *ast.GenDecl, spec *ast.ValueSpec) {
		says := sentences(spec.Doc, spec.Comment)
		if says == "" && len(decl.Specs) == 1 {
			says = sentences(decl.Doc, spec.Comment)
		}
		if !saysSo.MatchString(says) && !slices.ContainsFunc(spec.Names, func(n *ast.Ident) bool { return namedSo.MatchString(n.Name) }) {
			return
		}
		at := file.positions.Position(spec.Pos())
		if !saysSo.MatchString(says) {
			t.Errorf("%s: %s: its comment should say what it bounds, and what happens at it", at, spec.Names[0].Name)
		}
		c := limit{folder: file.folder, says: says, at: at}
		for i, name := range spec.Names {
			q, err := l.reader.evaluate(file, spec.Values[i])
			if err != nil {
				t.Errorf("%s: %s: %v", at, name.Name, err)
				return
			}
			if q.unit == things && inBytes.MatchString(firstSentence(says)) {
				q.unit = octets
			}
			c.names, c.values = append(c.names, name.Name), append(c.values, q)
			l.of[file.folder+"."+name.Name] = q
		}
		l.constants = append(l.constants, c)
	})
}

var inBytes = regexp.MustCompile(`\bbytes\b`)

// readConfig gathers the fields of parley.Config and their defaults: what
// withDefaults fills in. Where that leaves a default to the P2P protocol, it is
// found there.
func (l *limits) readConfig(t *testing.T) {
	below := l.defaults(t, "internal/p2p", "orDefault", 1)
	own := l.defaults(t, ".", "fill", 0)
	for name, q := range own {
		if deeper, known := below[name]; known && q.amount == 0 {
			own[name] = deeper
		} else if known && q.amount != deeper.amount {
			t.Errorf("Config.%s has the default %s, and in internal/p2p %s", name, q, deeper)
		}
	}
	file, fields := l.structOf(t, ".", "Config")
	for _, field := range fields.List {
		c := limit{folder: ".", says: sentences(field.Doc, field.Comment), at: file.positions.Position(field.Pos())}
		for _, name := range field.Names {
			q, filled := own[name.Name]
			if !filled {
				continue
			}
			c.names, c.values = append(c.names, name.Name), append(c.values, q)
			l.of[name.Name] = q
		}
		if last := len(l.config) - 1; len(c.names) > 0 && c.says == "" && last >= 0 { // of the comment above
			l.config[last].names = append(l.config[last].names, c.names...)
			l.config[last].values = append(l.config[last].values, c.values...)
		} else if len(c.names) > 0 {
			l.headings[c.names[0]] = headingBefore(file, fields, field)
			l.config = append(l.config, c)
		}
	}
}

// headingBefore is the comment that stands alone before a field and those above
// it, up to another field's.
func headingBefore(file source, fields *ast.FieldList, field *ast.Field) string {
	heading := ""
	for _, group := range file.syntax.Comments {
		if group.Pos() < fields.Pos() || group.Pos() > field.Pos() {
			continue
		}
		alone := !slices.ContainsFunc(fields.List, func(f *ast.Field) bool { return f.Doc == group || f.Comment == group })
		if alone {
			heading, _, _ = strings.Cut(group.Text(), ".")
		}
	}
	return heading
}

// defaults reads the calls of the function that fills in defaults: the field's
// name is the argument at, its default the last.
func (l *limits) defaults(t *testing.T, folder, function string, at int) map[string]quantity {
	found := map[string]quantity{}
	for _, file := range l.reader.files {
		if file.folder != folder {
			continue
		}
		ast.Inspect(file.syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if called, ok := call.Fun.(*ast.Ident); !ok || called.Name != function {
				return true
			}
			name, err := strconv.Unquote(call.Args[at].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			q, err := l.reader.evaluateWith(file, call.Args[len(call.Args)-1], found)
			if err != nil {
				t.Errorf("%s: default of %s: %v", file.positions.Position(call.Pos()), name, err)
			}
			field := call.Args[at+1].(*ast.UnaryExpr).X.(*ast.SelectorExpr).Sel.Name
			q.unit = l.unitOf(t, folder, field)
			found[name] = q
			return true
		})
	}
	return found
}

// unitOf is the unit of a Config's field: int64 is for bytes.
func (l *limits) unitOf(t *testing.T, folder, name string) unit {
	_, fields := l.structOf(t, folder, "Config")
	for _, field := range fields.List {
		for _, n := range field.Names {
			if n.Name != name {
				continue
			}
			switch of := field.Type.(type) {
			case *ast.SelectorExpr:
				return nanoseconds
			case *ast.Ident:
				if of.Name == "int64" {
					return octets
				}
			}
			return things
		}
	}
	t.Fatalf("%s has no Config.%s", folder, name)
	return things
}

func (l *limits) structOf(t *testing.T, folder, name string) (source, *ast.FieldList) {
	for _, file := range l.reader.files {
		if file.folder != folder {
			continue
		}
		for _, d := range file.syntax.Decls {
			decl, ok := d.(*ast.GenDecl)
			if !ok || decl.Tok != token.TYPE {
				continue
			}
			for _, spec := range decl.Specs {
				if spec := spec.(*ast.TypeSpec); spec.Name.Name == name {
					return file, spec.Type.(*ast.StructType).Fields
				}
			}
		}
	}
	t.Fatalf("%s has no struct %s", folder, name)
	return source{}, nil
}

// sentences is the text of a comment, in one line.
func sentences(groups ...*ast.CommentGroup) string {
	var words []string
	for _, g := range groups {
		if g != nil {
			words = append(words, strings.Fields(g.Text())...)
		}
	}
	return strings.Join(words, " ")
}

// sentenceEnd is where a sentence ends and another begins.
var sentenceEnd = regexp.MustCompile(`\. [A-Z]`)

func firstSentence(text string) string {
	if at := sentenceEnd.FindStringIndex(text); at != nil {
		return text[:at[0]+1]
	}
	return text
}

// names says whether a text in a package names a limit: Config's, one of the
// package's own or, with the package's name before it, of another's. What is
// written like any other word doesn't count.
func (l *limits) names(folder, text string) bool {
	for _, word := range limitWord.FindAllString(text, -1) {
		of, name, qualified := strings.Cut(word, ".")
		if !qualified {
			of, name = "Config", word
			if strings.IndexFunc(name[1:], unicode.IsUpper) < 0 {
				continue
			}
			if _, known := l.of[folder+"."+name]; known {
				return true
			}
		}
		if _, known := l.of[name]; known && of == "Config" {
			return true
		}
		for _, room := range bounded {
			if _, known := l.of[room+"."+name]; known && nameOf(room) == of {
				return true
			}
		}
	}
	return false
}

// nameOf is what a package is called.
func nameOf(folder string) string {
	if folder == "." {
		return path.Base(module)
	}
	return path.Base(folder)
}

var limitWord = regexp.MustCompile(`\b[A-Za-z][A-Za-z0-9]*(\.[A-Za-z][A-Za-z0-9]*)?`)
