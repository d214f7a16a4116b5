package config

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// separator joins the keys of a path. It cannot be in a key, as a dot can.
const separator = "\x1f"

// A reader turns one YAML document into a layer.
type reader struct {
	file    string
	lookup  lookupFunc
	anchors map[string]ast.Node
	layer   *layer
	depth   int // of aliases, so that one that contains itself ends
}

const maxAliasDepth = 20

// readDocument reads a YAML document by the schema.
func readDocument(file string, content []byte, lookup lookupFunc) *layer {
	r := &reader{file: file, lookup: lookup, anchors: make(map[string]ast.Node), layer: newLayer()}
	content, problem := plainText(content)
	if problem != "" {
		r.layer.faults = append(r.layer.faults, &Fault{Origin: Origin{File: file}, Problem: problem, Remedy: "save it as UTF-8"})
		return r.layer
	}
	parsed, err := parser.ParseBytes(content, 0)
	if err != nil {
		r.syntax(err)
		return r.layer
	}
	var docs []*ast.DocumentNode
	for _, d := range parsed.Docs {
		if d.Body != nil {
			docs = append(docs, d)
		}
	}
	if len(docs) > 1 {
		r.fault(docs[1].Body, nil, "a second YAML document begins here", "put each in its own file and repeat --config")
	}
	if len(docs) == 0 {
		return r.layer
	}
	ast.Walk(r, docs[0].Body)
	root := docs[0].Body
	if _, null := r.resolve(root).(*ast.NullNode); !null {
		r.section(schema(), root, nil, r.layer.values)
	}
	return r.layer
}

// plainText returns content without a byte order mark, or the reason why it is not UTF-8.
func plainText(content []byte) (text []byte, problem string) {
	switch {
	case bytes.HasPrefix(content, []byte("\xff\xfe")), bytes.HasPrefix(content, []byte("\xfe\xff")):
		return nil, "the file is UTF-16"
	case !utf8.Valid(content):
		return nil, "the file is no UTF-8"
	}
	return bytes.TrimPrefix(content, []byte("\xef\xbb\xbf")), ""
}

// Visit implements ast.Visitor: it gathers the anchors.
func (r *reader) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok {
		r.anchors[a.Name.GetToken().Value] = a.Value
	}
	return r
}

// syntax reports a document that is not YAML.
func (r *reader) syntax(err error) {
	f := &Fault{Origin: Origin{File: r.file}, Problem: err.Error()}
	var known yaml.Error
	if errors.As(err, &known) {
		f.Problem = known.GetMessage()
		if t := known.GetToken(); t != nil {
			f.Origin = r.at(t)
		}
	}
	r.layer.faults = append(r.layer.faults, f)
}

func (r *reader) at(t *token.Token) Origin {
	if t == nil || t.Position == nil {
		return Origin{File: r.file}
	}
	return Origin{File: r.file, Line: t.Position.Line, Column: t.Position.Column}
}

func (r *reader) fault(n ast.Node, path []string, problem, remedy string) {
	r.layer.faults = append(r.layer.faults, &Fault{
		Origin: r.at(first(n)), Path: strings.Join(path, "."), Problem: problem, Remedy: remedy,
	})
}

// resolve returns the node that n stands for.
func (r *reader) resolve(n ast.Node) ast.Node {
	for range maxAliasDepth {
		switch v := n.(type) {
		case *ast.AnchorNode:
			n = v.Value
		case *ast.TagNode:
			n = v.Value
		case *ast.AliasNode:
			target, ok := r.anchors[v.Value.GetToken().Value]
			if !ok {
				return n
			}
			n = target
		default:
			return n
		}
	}
	return n
}

// An entry is one key of a mapping.
type entry struct {
	key   string
	node  ast.Node // of the key
	value ast.Node
}

// entries returns the entries of a mapping with its merge keys (<<) resolved; ok
// is false if n is not a mapping.
func (r *reader) entries(n ast.Node) (es []entry, ok bool) {
	if r.depth++; r.depth > maxAliasDepth {
		return nil, false
	}
	defer func() { r.depth-- }()
	var pairs []*ast.MappingValueNode
	switch v := r.resolve(n).(type) {
	case *ast.MappingNode:
		pairs = v.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{v}
	default:
		return nil, false
	}
	var merged []entry
	for _, p := range pairs {
		if !p.Key.IsMergeKey() {
			es = append(es, entry{key: p.Key.GetToken().Value, node: p.Key, value: p.Value})
			continue
		}
		from := []ast.Node{p.Value}
		if s, list := r.resolve(p.Value).(*ast.SequenceNode); list {
			from = s.Values
		}
		for _, f := range from {
			more, ok := r.entries(f)
			if !ok {
				r.fault(p.Key, nil, "<< merges a mapping, but this is not a mapping", "")
				continue
			}
			for _, e := range more { // of several, the first that has the key wins
				if !slices.ContainsFunc(merged, func(o entry) bool { return o.key == e.key }) {
					merged = append(merged, e)
				}
			}
		}
	}
	for _, e := range merged { // the mapping's own keys win, but an empty one takes no section away
		switch i := slices.IndexFunc(es, func(o entry) bool { return o.key == e.key }); {
		case i < 0:
			es = append(es, e)
		case r.empty(es[i].value) && r.mapping(e.value):
			es[i].value = e.value
		}
	}
	return es, true
}

// empty reports whether a key has nothing behind it, not even null.
func (r *reader) empty(n ast.Node) bool {
	null, is := r.resolve(n).(*ast.NullNode)
	return is && (null.Token.Type == token.ImplicitNullType || null.Token.Value == "")
}

// mapping reports whether n is a mapping.
func (r *reader) mapping(n ast.Node) bool {
	switch r.resolve(n).(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return true
	}
	return false
}

// queueName matches the names of queues: none of them reads as a URL.
var queueName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// extension is what keys begin with that hold anchors for others, and are not read.
const extension = "x-"

// section reads a mapping with fixed keys into out.
func (r *reader) section(s *node, n ast.Node, path []string, out map[string]any) {
	es, ok := r.entries(n)
	if !ok {
		r.wrongKind(s, n, path)
		return
	}
	for _, e := range es {
		if c := s.child(e.key); c != nil {
			r.value(c, e, append(path[:len(path):len(path)], e.key), out)
			continue
		}
		if strings.HasPrefix(e.key, extension) {
			continue
		}
		r.fault(e.node, path, fmt.Sprintf("unknown key %q", e.key), didYouMean(e.key, s.keys()))
	}
}

// named reads a mapping whose keys are the user's.
func (r *reader) named(s *node, n ast.Node, path []string, out map[string]any) {
	es, ok := r.entries(n)
	if !ok {
		r.wrongKind(s, n, path)
		return
	}
	for _, e := range es {
		at := append(path[:len(path):len(path)], e.key)
		if !queueName.MatchString(e.key) {
			r.fault(e.node, path, fmt.Sprintf("%q is not a valid name: it may have letters and digits, and . _ - after the first character", e.key), "")
			continue
		}
		r.value(s.of, entry{key: e.key, node: e.node, value: e.value}, at, out)
	}
}

// value reads what one key holds into out.
func (r *reader) value(s *node, e entry, path []string, out map[string]any) {
	n := r.resolve(e.value)
	if _, is := n.(*ast.NullNode); is {
		switch {
		case !r.empty(n):
			r.layer.removed = append(r.layer.removed, strings.Join(path, separator))
		case s.leaf():
			r.fault(e.node, path, "the key has no value", "write null to remove the value of an earlier file")
		default:
			if _, has := out[e.key]; !has {
				out[e.key] = make(map[string]any)
			}
		}
		return
	}
	switch s.kind {
	case section, byName:
		inner := make(map[string]any)
		out[e.key] = inner
		r.layer.origins[strings.Join(path, separator)] = r.at(e.node.GetToken())
		if s.kind == section {
			r.section(s, n, path, inner)
		} else {
			r.named(s, n, path, inner)
		}
	case textTable:
		r.table(s, n, path, out)
	default:
		v, ok := r.scalar(s, n, path)
		if ok {
			out[e.key] = v
			r.layer.origins[strings.Join(path, separator)] = r.at(first(n))
		}
	}
}

// first returns the token where n begins. Of a block mapping the parser gives
// the first colon instead.
func first(n ast.Node) *token.Token {
	switch v := n.(type) {
	case *ast.MappingNode:
		if !v.IsFlowStyle && len(v.Values) > 0 {
			return v.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		return v.Key.GetToken()
	}
	return n.GetToken()
}

// table reads a mapping of strings.
func (r *reader) table(s *node, n ast.Node, path []string, out map[string]any) {
	es, ok := r.entries(n)
	if !ok {
		r.wrongKind(s, n, path)
		return
	}
	table := make(map[string]any, len(es))
	for _, e := range es {
		at := append(path[:len(path):len(path)], e.key)
		if v, ok := r.scalar(&node{kind: text}, r.resolve(e.value), at); ok {
			table[e.key] = v
		}
	}
	key := path[len(path)-1]
	out[key] = table
	r.layer.origins[strings.Join(path, separator)] = r.at(first(n))
}

// scalar reads a value of the schema's kind.
func (r *reader) scalar(s *node, n ast.Node, path []string) (any, bool) {
	var raw string
	switch v := n.(type) {
	case *ast.StringNode:
		raw = v.Value
	case *ast.LiteralNode:
		raw = v.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		raw = n.GetToken().Value
	case *ast.AliasNode:
		r.fault(n, path, fmt.Sprintf("there is no anchor &%s", v.Value.GetToken().Value), "")
		return nil, false
	default:
		r.wrongKind(s, n, path)
		return nil, false
	}
	full, err := expand(raw, r.lookup)
	if err == nil {
		var v any
		if v, err = s.parse(full); err == nil {
			return v, true
		}
	}
	r.fault(n, path, err.Error(), "")
	return nil, false
}

func (r *reader) wrongKind(s *node, n ast.Node, path []string) {
	got := "a value"
	switch r.resolve(n).(type) {
	case *ast.SequenceNode:
		got = "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		got = "a mapping"
	case *ast.AliasNode:
		got = "an alias without an anchor, or one that contains itself"
	}
	r.fault(n, path, fmt.Sprintf("this is %s, but %s is required", got, s.what()), "")
}
