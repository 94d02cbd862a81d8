package parley_test

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"math/bits"
	"path"
	"strconv"
	"time"
)

// quantity is how much of something.
type quantity struct {
	amount int64
	unit   unit
}

type unit int

const (
	things unit = iota
	octets
	nanoseconds
)

// String writes a quantity as people do: 64 KiB, 5 min, 10,000.
func (q quantity) String() string {
	switch q.unit {
	case octets:
		return inSteps(q.amount, bytesSteps, "bytes")
	case nanoseconds:
		day := int64(24 * time.Hour)
		return inSteps(q.amount, []step{{day, "days"}, {day / 24, "h"}, {6e10, "min"}, {1e9, "s"}, {1e6, "ms"}}, "ns")
	}
	return thousands(q.amount)
}

// about writes a quantity with three digits or so where it is a number of bytes.
func (q quantity) about() string {
	if q.unit == octets {
		for _, s := range bytesSteps {
			if q.amount >= 10*s.size && q.amount%s.size != 0 {
				return fmt.Sprintf("%s %s", thousands((q.amount+s.size/2)/s.size), s.name)
			}
			if q.amount >= s.size && q.amount%s.size != 0 {
				return fmt.Sprintf("%.1f %s", float64(q.amount)/float64(s.size), s.name)
			}
			if q.amount >= s.size {
				break
			}
		}
	}
	return q.String()
}

// bytesSteps are what numbers of bytes are written in.
var bytesSteps = []step{{1 << 50, "PiB"}, {1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}}

type step struct {
	size int64
	name string
}

// inSteps writes an amount in the largest step that it is a multiple of.
func inSteps(amount int64, steps []step, rest string) string {
	if amount == 0 {
		return "0"
	}
	for _, s := range steps {
		if amount%s.size == 0 && (s.name != "days" || amount > s.size) {
			return thousands(amount/s.size) + " " + s.name
		}
	}
	return thousands(amount) + " " + rest
}

func thousands(n int64) string {
	if power := bits.TrailingZeros64(uint64(n)); n > 0 && power > 50 && n == 1<<power {
		return fmt.Sprintf("2^%d", power)
	}
	digits := strconv.FormatInt(n, 10)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// reader evaluates constants of the product's source.
type reader struct {
	files  []source
	consts map[string]declared // by folder and name
}

type declared struct {
	file  source
	value ast.Expr
}

// elsewhere are constants of other modules that limits are made of.
var elsewhere = map[string]int64{
	"time.Nanosecond": 1, "time.Microsecond": 1e3, "time.Millisecond": 1e6, "time.Second": 1e9, "time.Minute": 60e9, "time.Hour": 3600e9,
	"noise.MaxMsgLen": 65535, // The Noise Protocol Framework, section 3
}

func (r *reader) evaluate(file source, e ast.Expr) (quantity, error) {
	return r.evaluateWith(file, e, nil)
}

// evaluateWith works out a constant expression of a file, in which fields of a
// configuration, and what else is given by name, have the values given.
func (r *reader) evaluateWith(file source, e ast.Expr, fields map[string]quantity) (quantity, error) {
	switch e := e.(type) {
	case *ast.BasicLit:
		n, exact := constant.Int64Val(constant.ToInt(constant.MakeFromLiteral(e.Value, e.Kind, 0)))
		if !exact {
			return quantity{}, fmt.Errorf("%s is no whole number", e.Value)
		}
		return quantity{amount: n}, nil
	case *ast.ParenExpr:
		return r.evaluateWith(file, e.X, fields)
	case *ast.CallExpr: // a conversion
		return r.evaluateWith(file, e.Args[0], fields)
	case *ast.Ident:
		if q, known := fields[e.Name]; known {
			return q, nil
		}
		return r.named(file.folder, e.Name)
	case *ast.SelectorExpr:
		of := e.X.(*ast.Ident).Name
		if q, known := fields[e.Sel.Name]; known && of == "c" {
			return q, nil
		}
		for _, room := range bounded {
			if q, known := fields[room+"."+e.Sel.Name]; known && nameOf(room) == of {
				return q, nil
			}
		}
		if n, known := elsewhere[of+"."+e.Sel.Name]; known {
			if of == "time" {
				return quantity{n, nanoseconds}, nil
			}
			return quantity{amount: n}, nil
		}
		for _, imported := range file.imports() {
			if folder, ours := inModule(imported); ours && path.Base(folder) == of {
				return r.named(folder, e.Sel.Name)
			}
		}
		return quantity{}, fmt.Errorf("the value of %s.%s isn't known to this test", of, e.Sel.Name)
	case *ast.BinaryExpr:
		x, err := r.evaluateWith(file, e.X, fields)
		if err != nil {
			return quantity{}, err
		}
		y, err := r.evaluateWith(file, e.Y, fields)
		if err != nil {
			return quantity{}, err
		}
		return compute(e.Op, x, y)
	}
	return quantity{}, fmt.Errorf("%T isn't read by this test", e)
}

func compute(op token.Token, x, y quantity) (quantity, error) {
	of := max(x.unit, y.unit)
	switch op {
	case token.ADD:
		return quantity{x.amount + y.amount, of}, nil
	case token.SUB:
		return quantity{x.amount - y.amount, of}, nil
	case token.MUL:
		return quantity{x.amount * y.amount, of}, nil
	case token.QUO:
		return quantity{x.amount / y.amount, of}, nil
	case token.SHL:
		return quantity{x.amount << y.amount, of}, nil
	}
	return quantity{}, fmt.Errorf("%s isn't read by this test", op)
}

func (r *reader) named(folder, name string) (quantity, error) {
	d, known := r.consts[folder+"."+name]
	if !known {
		return quantity{}, fmt.Errorf("%s is neither a limit nor a constant of %q", name, folder)
	}
	return r.evaluate(d.file, d.value)
}
