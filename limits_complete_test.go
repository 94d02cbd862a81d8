package parley_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// countable is what comments may count by: "one for each connection". There is
// no more of each than is said here.
var countable = map[string]string{
	"handler":        "as many as the application makes; a directory belongs to one at a time",
	"call":           "as many as goroutines of the application that wait for one",
	"listen address": "one, as the application names it",
	"member":         "`allowlist.MaxMembers`",
	"peer":           "a member, or one that was and had exchanges: what it has ended is never forgotten, or it could be taken twice. `maxPeers` where everyone is admitted",
	"dial":           "one at a time for each member",
	"socket":         "`MaxConnections`, and those of dials",
	"connection":     "`MaxConnections` that peers have dialled, and `MaxConnectionsPerPeer` for each member that this node has",
	"stream":         "`MaxStreamsPerConnection` for each connection that the peer opens, and half as many that this node does",
	"exchange":       "`MaxQueued` made here; `MaxOpen` made by peers, and one for each peer",
	"turn":           "one at a time, of `inputsATurn` and `priorityATurn`",
}

// forEach finds in a comment that there are so many of something for each of what
// is countable.
var forEach = regexp.MustCompile(`for each (\w+( address)?)`)

// TestWhateverGrowsNamesItsLimit demands that a comment names the limit, or says
// for each of what there is one, of whatever the product can fill, start or write:
//
//   - a field, package variable or named type that is a map, a list, a pool, a
//     concurrent map or a buffer; but for tables that are written in the source;
//   - a slice that is a field, or a named type, and that append, or the like, grows
//     in another function than the one that has made it;
//   - a channel that is made with room for more than one. Others hold nothing;
//   - a goroutine that is started, by a go statement or a call of Go or AfterFunc;
//   - a file that is read whole, without a reader that ends at a limit;
//   - a file that is opened and kept: others are closed before the function ends;
//   - a kind of record, or row, of the journal: a constant that is a character.
//
// The comment is the one at it or on the line above it.
func TestWhateverGrowsNamesItsLimit(t *testing.T) {
	limits := readLimits(t)
	for _, file := range limits.reader.files {
		check := growth{t: t, limits: &limits, file: file, grown: grownIn(limits.reader.files, file.folder)}
		check.comments()
		ast.Inspect(file.syntax, check.visit)
	}
}

// growth checks one file.
type growth struct {
	t      *testing.T
	limits *limits
	file   source
	grown  map[string]bool // fields and types that append grows in this package
	beside map[int]string  // comments, by the lines that they are about
}

func (g *growth) comments() {
	g.beside = map[int]string{}
	code := map[int]bool{} // lines on which some stands
	ast.Inspect(g.file.syntax, func(n ast.Node) bool {
		switch n.(type) {
		case nil, *ast.Comment, *ast.CommentGroup:
			return false
		}
		code[g.line(n.Pos())], code[g.line(n.End())] = true, true
		return true
	})
	for _, group := range g.file.syntax.Comments {
		line := g.line(group.End())
		if !code[line] {
			line++ // it is about the line below
		}
		g.beside[line] += " " + sentences(group)
	}
}

func (g *growth) line(at token.Pos) int { return g.file.positions.Position(at).Line }

// demand reports what doesn't name its limit.
func (g *growth) demand(at token.Pos, what string, comments ...*ast.CommentGroup) {
	text := sentences(comments...) + " " + g.beside[g.line(at)]
	if g.limits.names(g.file.folder, text) {
		return
	}
	for _, found := range forEach.FindAllStringSubmatch(text, -1) {
		if _, known := countable[found[1]]; known {
			return
		}
	}
	g.t.Errorf("%s: %s: say in its comment which limit bounds it, or for each of what there is one", g.file.positions.Position(at), what)
}

func (g *growth) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GenDecl:
		g.declaration(n)
	case *ast.StructType:
		for _, field := range n.Fields.List {
			g.field(field)
		}
	case *ast.GoStmt:
		g.demand(n.Pos(), "a goroutine")
	case *ast.CallExpr:
		g.call(n)
	case *ast.FuncDecl:
		g.files(n)
	}
	return true
}

func (g *growth) declaration(decl *ast.GenDecl) {
	for _, spec := range decl.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			_, slice := spec.Type.(*ast.ArrayType)
			if what := container(spec.Type); what != "" {
				g.demand(spec.Pos(), spec.Name.Name+", "+what, decl.Doc, spec.Doc)
			} else if slice && g.grown[spec.Name.Name] {
				g.demand(spec.Pos(), spec.Name.Name+", a slice that grows", decl.Doc, spec.Doc)
			}
		case *ast.ValueSpec:
			switch decl.Tok {
			case token.VAR:
				if what := container(typeOf(spec)); what != "" && g.topLevel(decl) && !written(spec) {
					g.demand(spec.Pos(), spec.Names[0].Name+", "+what, decl.Doc, spec.Doc, spec.Comment)
				}
			case token.CONST:
				if literal, ok := first(spec.Values).(*ast.BasicLit); ok && literal.Kind == token.CHAR {
					g.demand(spec.Pos(), "records "+spec.Names[0].Name, spec.Doc, spec.Comment)
				}
			}
		}
	}
}

func (g *growth) topLevel(decl *ast.GenDecl) bool {
	return slices.Contains(g.file.syntax.Decls, ast.Decl(decl))
}

func first(values []ast.Expr) ast.Expr {
	if len(values) == 0 {
		return nil
	}
	return values[0]
}

// typeOf is a package variable's type, as far as it is written.
func typeOf(spec *ast.ValueSpec) ast.Expr {
	if spec.Type != nil {
		return spec.Type
	}
	switch value := first(spec.Values).(type) {
	case *ast.CompositeLit:
		return value.Type
	case *ast.CallExpr:
		if made, ok := value.Fun.(*ast.Ident); ok && made.Name == "make" {
			return value.Args[0]
		}
	}
	return nil
}

// written reports whether a variable is a table with its rows in the source.
func written(spec *ast.ValueSpec) bool {
	value, ok := first(spec.Values).(*ast.CompositeLit)
	if !ok {
		return false
	}
	_, isMap := value.Type.(*ast.MapType)
	return isMap && len(value.Elts) > 0
}

func (g *growth) field(field *ast.Field) {
	var names []string
	slice := false
	for _, n := range field.Names {
		names = append(names, n.Name)
		slice = slice || g.grown[n.Name]
	}
	name := strings.Join(names, ", ")
	if what := container(field.Type); what != "" {
		g.demand(field.Pos(), name+", "+what, field.Doc, field.Comment)
	} else if _, isSlice := field.Type.(*ast.ArrayType); isSlice && slice {
		g.demand(field.Pos(), name+", a slice that grows", field.Doc, field.Comment)
	}
}

// container says what of those that grow a type is; empty: none.
func container(of ast.Expr) string {
	switch of := of.(type) {
	case *ast.MapType:
		return "a map"
	case *ast.StarExpr:
		return container(of.X)
	case *ast.ArrayType:
		return container(of.Elt)
	case *ast.SelectorExpr:
		switch name := fmt.Sprintf("%s.%s", of.X, of.Sel); name {
		case "list.List", "sync.Pool", "sync.Map", "bytes.Buffer", "strings.Builder":
			return "a " + name
		}
	}
	return ""
}

func (g *growth) call(call *ast.CallExpr) {
	switch called := call.Fun.(type) {
	case *ast.SelectorExpr:
		switch name := fmt.Sprintf("%s.%s", called.X, called.Sel); {
		case called.Sel.Name == "Go" && len(call.Args) == 1, called.Sel.Name == "AfterFunc":
			g.demand(call.Pos(), "a goroutine")
		case name == "io.ReadAll" && !limitedRead(call), name == "os.ReadFile":
			g.demand(call.Pos(), "a whole file")
		}
	case *ast.Ident:
		if called.Name != "make" || len(call.Args) < 2 {
			return
		}
		if _, isChan := call.Args[0].(*ast.ChanType); !isChan {
			return
		}
		switch room := call.Args[1].(type) {
		case *ast.BasicLit:
			if room.Value != "0" && room.Value != "1" {
				g.demand(call.Pos(), "a channel with room for "+room.Value)
			}
		case *ast.Ident:
			if _, known := g.limits.of[g.file.folder+"."+room.Name]; !known {
				g.demand(call.Pos(), "a channel with room for "+room.Name)
			}
		case *ast.SelectorExpr:
			if !g.limits.names(g.file.folder, fmt.Sprintf("%s.%s", room.X, room.Sel)) {
				g.demand(call.Pos(), "a channel with room for "+room.Sel.Name)
			}
		default:
			g.demand(call.Pos(), "a channel")
		}
	}
}

// limitedRead reports whether what is read is cut off at a limit.
func limitedRead(call *ast.CallExpr) bool {
	from, ok := call.Args[0].(*ast.CallExpr)
	if !ok {
		return false
	}
	called, ok := from.Fun.(*ast.SelectorExpr)
	return ok && called.Sel.Name == "LimitReader"
}

// files demands it of each file that a function opens and keeps.
func (g *growth) files(function *ast.FuncDecl) {
	if opens(&ast.SelectorExpr{X: ast.NewIdent(""), Sel: function.Name}) {
		return // of a file system that stands before another
	}
	ast.Inspect(function, func(n ast.Node) bool {
		assigned, ok := n.(*ast.AssignStmt)
		if !ok {
			return true
		}
		if call, ok := assigned.Rhs[0].(*ast.CallExpr); ok {
			if s, ok := call.Fun.(*ast.SelectorExpr); ok && opens(s) && keeps(function, rootOf(assigned.Lhs[0])) {
				g.demand(call.Pos(), "an open file", function.Doc)
			}
		}
		return true
	})
}

// keeps reports whether a function puts a variable away or returns it.
func keeps(function *ast.FuncDecl, variable string) bool {
	kept := false
	ast.Inspect(function, func(n ast.Node) bool {
		var to []ast.Expr
		switch n := n.(type) {
		case *ast.ReturnStmt:
			to = n.Results
		case *ast.AssignStmt:
			to = n.Rhs
		case *ast.CompositeLit:
			to = n.Elts
		case *ast.KeyValueExpr:
			to = []ast.Expr{n.Value}
		}
		kept = kept || slices.ContainsFunc(to, func(e ast.Expr) bool {
			name, ok := e.(*ast.Ident)
			return ok && name.Name == variable
		})
		return true
	})
	return kept
}

func opens(called *ast.SelectorExpr) bool {
	switch name := called.Sel.Name; name {
	case "Open", "OpenFile":
		of, ok := called.X.(*ast.Ident)
		return ok && of.Name == "os" || name == "OpenFile"
	case "Create", "CreateTemp", "OpenReadWrite", "ReuseForWrite":
		return true
	}
	return false
}

// grownIn are the fields and types of a package that a function grows which
// hasn't made them.
func grownIn(files []source, folder string) map[string]bool {
	grown := map[string]bool{}
	for _, file := range files {
		if file.folder != folder {
			continue
		}
		for _, d := range file.syntax.Decls {
			if function, ok := d.(*ast.FuncDecl); ok && function.Body != nil {
				growsIn(function, grown)
			}
		}
	}
	return grown
}

func growsIn(function *ast.FuncDecl, grown map[string]bool) {
	made := madeIn(function)
	ast.Inspect(function.Body, func(n ast.Node) bool {
		assigned, ok := n.(*ast.AssignStmt)
		if !ok || len(assigned.Lhs) != 1 || !grows(assigned.Rhs[0]) {
			return true
		}
		switch to := assigned.Lhs[0].(type) {
		case *ast.SelectorExpr:
			if !made[rootOf(to)] {
				grown[to.Sel.Name] = true
			}
		case *ast.StarExpr:
			if receiver := function.Recv; receiver != nil && rootOf(to.X) == receiver.List[0].Names[0].Name {
				grown[rootOf(receiver.List[0].Type)] = true
			}
		}
		return true
	})
}

// grows reports whether a value is a slice that was made longer.
func grows(value ast.Expr) bool {
	call, ok := value.(*ast.CallExpr)
	if !ok {
		return false
	}
	switch called := call.Fun.(type) {
	case *ast.Ident:
		return called.Name == "append"
	case *ast.SelectorExpr:
		return slices.Contains([]string{"slices.Insert", "slices.Replace", "slices.Grow"}, fmt.Sprintf("%s.%s", called.X, called.Sel))
	}
	return false
}

// madeIn are the variables that a function makes from nothing.
func madeIn(function *ast.FuncDecl) map[string]bool {
	made := map[string]bool{}
	if results := function.Type.Results; results != nil {
		for _, result := range results.List {
			for _, name := range result.Names {
				made[name.Name] = true
			}
		}
	}
	ast.Inspect(function.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE && len(n.Lhs) == len(n.Rhs) {
				for i, value := range n.Rhs {
					if address, ok := value.(*ast.UnaryExpr); ok && address.Op == token.AND {
						value = address.X
					}
					if _, ok := value.(*ast.CompositeLit); ok {
						made[rootOf(n.Lhs[i])] = true
					}
				}
			}
		case *ast.ValueSpec:
			for _, name := range n.Names {
				made[name.Name] = true
			}
		}
		return true
	})
	return made
}

// rootOf is the variable, or type, that an expression begins with.
func rootOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return rootOf(e.X)
	case *ast.StarExpr:
		return rootOf(e.X)
	case *ast.IndexExpr:
		return rootOf(e.X)
	case *ast.ParenExpr:
		return rootOf(e.X)
	}
	return ""
}
