package parley_test

import (
	"go/ast"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// accusers are the functions whose last argument is a rule that a peer broke, or
// that return one, by the package in which they are.
var accusers = map[string][]string{
	"internal/fsm":  {"violate", "blame"},
	"internal/wire": {"bad", "brokenRule"},
	"internal/p2p":  {"violate"},
}

// TestEveryRuleStandsInTheTable holds docs/security.md against the source: what
// counts as a violation is written there, and nothing else is. What a rule says of
// the frame at hand, its kind or field, is written as an ellipsis.
func TestEveryRuleStandsInTheTable(t *testing.T) {
	page, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	written := rulesOnPage(string(page))
	var enforced []string
	for _, file := range productSource(t) {
		if names, found := accusers[file.folder]; found {
			enforced = append(enforced, rulesIn(file.syntax, names)...)
		}
	}
	slices.Sort(enforced)
	enforced = slices.Compact(enforced)
	if len(enforced) < 40 {
		t.Fatalf("only %d rules were found in the source: do the functions of this test still name them?", len(enforced))
	}
	for _, rule := range enforced {
		if !slices.Contains(written, rule) {
			t.Errorf("docs/security.md doesn't list the rule `%s`", rule)
		}
	}
	for _, rule := range written {
		if !slices.Contains(enforced, rule) {
			t.Errorf("docs/security.md lists the rule `%s`, which nothing enforces", rule)
		}
	}
}

// rulesOnPage are the first cells, if they are code, of the table's rows.
func rulesOnPage(page string) []string {
	_, table, _ := strings.Cut(page, "## What counts as a violation")
	table, _, _ = strings.Cut(table, "\n## ")
	var rules []string
	for row := range strings.Lines(table) {
		if rule, found := strings.CutPrefix(row, "| `"); found {
			rule, _, _ = strings.Cut(rule, "` |")
			rules = append(rules, rule)
		}
	}
	return rules
}

// rulesIn are the rules that a file names: what it hands to one of these functions,
// what such a function returns, and what becomes an Error's Rule.
func rulesIn(file *ast.File, names []string) []string {
	var rules []string
	add := func(rule ast.Expr) {
		if text, named := ruleText(rule); named {
			rules = append(rules, text)
		}
	}
	ast.Inspect(file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.CallExpr:
			if slices.Contains(names, calledName(n)) && len(n.Args) > 0 {
				add(n.Args[len(n.Args)-1])
			}
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Rule" {
				add(n.Value)
			}
		case *ast.FuncDecl:
			if slices.Contains(names, n.Name.Name) {
				ast.Inspect(n, func(node ast.Node) bool {
					if r, ok := node.(*ast.ReturnStmt); ok && len(r.Results) == 1 {
						add(r.Results[0])
					}
					return true
				})
			}
		}
		return true
	})
	return rules
}

func calledName(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// ruleText is a rule as the table has it, if it is named here and not handed on:
// its literal parts, and an ellipsis for the others.
func ruleText(rule ast.Expr) (text string, named bool) {
	switch r := rule.(type) {
	case *ast.BasicLit:
		if literal, err := strconv.Unquote(r.Value); err == nil && r.Kind == token.STRING {
			return literal, literal != ""
		}
	case *ast.BinaryExpr:
		left, leftNamed := ruleText(r.X)
		right, rightNamed := ruleText(r.Y)
		return left + right, leftNamed || rightNamed
	}
	return "…", false
}
