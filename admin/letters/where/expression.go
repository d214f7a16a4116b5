// Package where selects letters by expressions of the Common Expression Language
// (https://cel.dev), such as
//
//	kind == "refund" && body.amount > 100
//	attributes["tenant"] in ["acme", "globex"] && reason.contains("timeout")
//	attempts >= 5 || last_failed < timestamp("2026-11-01T00:00:00Z")
//
// The table in docs/deadletters.md has the variables. An expression that asks for a member
// that a letter does not have, or compares values that can't be compared, does not select the
// letter; [Expression.Fault] has the first such fault of another kind than a missing member.
package where

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/sluice-go/sluice/admin/letters"
)

// A variable is a name that an expression can use.
type variable struct {
	// Name is the variable's name, Type its type in the language's words, About what it
	// is.
	Name, Type, About string
	kind              *cel.Type
	value             func(letters.Letter) any
}

// variables lists the variables of expressions.
func variables() []variable {
	return []variable{
		{"id", "string", "the message ID", cel.StringType, func(l letters.Letter) any { return l.Message.ID }},
		{"kind", "string", `the attribute "type", by which a route finds its handler`, cel.StringType, func(l letters.Letter) any { return l.Kind }},
		{"reason", "string", "why the message failed; empty for a message that is not a letter", cel.StringType, func(l letters.Letter) any { return l.Reason }},
		{"attempts", "int", "the attempts before the message became a letter; 0 if not known", cel.IntType, func(l letters.Letter) any { return l.Attempts }},
		{"redrives", "int", "how often the message was sent back one by one", cel.IntType, func(l letters.Letter) any { return l.Redrives }},
		{"queue", "string", "the queue that the letter came from; empty if not known", cel.StringType, func(l letters.Letter) any { return l.Queue }},
		{"consumer", "string", "the process that rejected the message; empty if not known", cel.StringType, func(l letters.Letter) any { return l.Consumer }},
		{"group", "string", "the message group, or ordering key", cel.StringType, func(l letters.Letter) any { return l.Message.Group }},
		{"dedupe_id", "string", "the sender's identity for the message", cel.StringType, func(l letters.Letter) any { return l.Message.DedupeID }},
		{"enqueued_at", "timestamp", "when the provider took the message", cel.TimestampType, func(l letters.Letter) any { return l.Message.EnqueuedAt }},
		{"first_failed", "timestamp", "when the message failed first; the year 1 if not known", cel.TimestampType, func(l letters.Letter) any { return l.First }},
		{"last_failed", "timestamp", "when the message failed last; the year 1 if not known", cel.TimestampType, func(l letters.Letter) any { return l.Last }},
		{"attributes", "map(string, string)", "the attributes", cel.MapType(cel.StringType, cel.StringType), attributes},
		{"body", "dyn", "the body if it is JSON, else null", cel.DynType, func(l letters.Letter) any { return decoded(l.Message.Body) }},
		{"text", "string", "the body if it is text, else empty", cel.StringType, text},
		{"body_bytes", "int", "the length of the body in bytes", cel.IntType, func(l letters.Letter) any { return len(l.Message.Body) }},
	}
}

// maxCost bounds the work on one letter, in the language's own unit: about one comparison.
const maxCost = 1_000_000

// An Expression selects letters. It is not safe for concurrent use.
type Expression struct {
	program   cel.Program
	variables []variable
	fault     error
	faults    int
}

// Compile compiles an expression. An error names each fault with its line and column,
// which begin at 1.
func Compile(source string) (*Expression, error) {
	e := &Expression{variables: variables()}
	var options []cel.EnvOption
	for _, v := range e.variables {
		options = append(options, cel.Variable(v.Name, v.kind))
	}
	env, err := cel.NewEnv(append(options, cel.CrossTypeNumericComparisons(true))...)
	if err != nil {
		return nil, fmt.Errorf("where: %w", err)
	}
	ast, issues := env.Compile(source)
	if issues != nil && issues.Err() != nil {
		var faults []error
		for _, i := range issues.Errors() {
			line := max(i.Location.Line(), 1) // a fault of the whole has none
			faults = append(faults, fmt.Errorf("line %d, column %d: %s", line, max(i.Location.Column()+1, 1), i.Message))
		}
		return nil, errors.Join(faults...)
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("line 1, column 1: the expression is of type %s, not bool", t)
	}
	if e.program, err = env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost)); err != nil {
		return nil, fmt.Errorf("line 1, column 1: %w", err)
	}
	return e, nil
}

// Selects reports whether the expression selects a letter.
func (e *Expression) Selects(l letters.Letter) bool {
	result, _, err := e.program.Eval(&activation{letter: l, variables: e.variables})
	if err == nil {
		if b, ok := result.(types.Bool); ok {
			return bool(b)
		}
		err = fmt.Errorf("the expression is a %s, not a bool", result.Type().TypeName())
	}
	// A member that a letter does not have is the usual case of a filter.
	if !strings.Contains(err.Error(), "no such key") && !strings.Contains(err.Error(), "no such attribute") {
		if e.faults++; e.fault == nil {
			e.fault = fmt.Errorf("letter %s: %w", l.Message.ID, err)
		}
	}
	return false
}

// Fault returns why the expression could not be evaluated for a letter, the first of so
// many. Such letters are not selected. It is nil if there is none.
func (e *Expression) Fault() (letters int, first error) { return e.faults, e.fault }

// An activation has the values of variables, each made when it is asked for.
type activation struct {
	letter    letters.Letter
	variables []variable
}

// ResolveName implements cel's Activation.
func (a *activation) ResolveName(name string) (any, bool) {
	for _, v := range a.variables {
		if v.Name == name {
			return v.value(a.letter), true
		}
	}
	return nil, false
}

// Parent implements cel's Activation.
func (*activation) Parent() cel.Activation { return nil }

func attributes(l letters.Letter) any {
	if l.Message.Attributes == nil {
		return map[string]string{}
	}
	return l.Message.Attributes
}

func text(l letters.Letter) any {
	if !utf8.Valid(l.Message.Body) {
		return ""
	}
	return string(l.Message.Body)
}

// decoded returns the value of a body in JSON, nil if it is not JSON. Whole numbers stay
// exact if they fit into 64 bits.
func decoded(body []byte) any {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil
	}
	if _, err := d.Token(); err != io.EOF {
		return nil
	}
	return exact(v)
}

// exact replaces numbers by an int64 or a float64.
func exact(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return f
	case []any:
		for i := range v {
			v[i] = exact(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = exact(v[name])
		}
	}
	return v
}
