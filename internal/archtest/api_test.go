package archtest

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write api/sluice.txt anew")

// TestExportedNames compares what users can name with api/sluice.txt, so that a
// change of it is seen in a review, on purpose. After a wanted change:
//
//	go test ./internal/archtest -run TestExportedNames -update
func TestExportedNames(t *testing.T) {
	var lines []string
	for _, p := range packages(t).own() {
		if p.Name == "main" || strings.Contains("/"+p.role()+"/", "/internal/") || underAny(p.role(), "examples", "localstack") {
			continue
		}
		a := &api{role: p.role()}
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			for _, d := range file.Decls {
				a.decl(d)
			}
		}
		slices.Sort(a.lines)
		lines = append(lines, slices.Compact(a.lines)...)
	}
	got := strings.Join(lines, "\n") + "\n"
	const file = "../../api/sluice.txt"
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, strings.Split(string(want), "\n"), strings.Split(got, "\n"),
		"the exported names have changed; if that is wanted: go test ./internal/archtest -run TestExportedNames -update")
}

// An api gathers a package's exported names, one a line.
type api struct {
	role  string
	lines []string
}

func (a *api) add(format string, args ...any) {
	a.lines = append(a.lines, a.role+": "+fmt.Sprintf(format, args...))
}

func (a *api) decl(d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		a.function(d)
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				a.typ(s)
			case *ast.ValueSpec:
				a.values(d.Tok.String(), s)
			}
		}
	}
}

func (a *api) function(f *ast.FuncDecl) {
	if !f.Name.IsExported() {
		return
	}
	signature := strings.TrimPrefix(source(f.Type), "func")
	if f.Recv == nil {
		a.add("func %s%s", f.Name.Name, signature)
		return
	}
	recv := source(f.Recv.List[0].Type)
	if ast.IsExported(strings.TrimLeft(recv, "*")) {
		a.add("method (%s) %s%s", recv, f.Name.Name, signature)
	}
}

func (a *api) values(kind string, s *ast.ValueSpec) {
	for _, n := range s.Names {
		switch {
		case !n.IsExported():
		case s.Type != nil:
			a.add("%s %s %s", kind, n.Name, source(s.Type))
		default:
			a.add("%s %s", kind, n.Name)
		}
	}
}

func (a *api) typ(s *ast.TypeSpec) {
	if !s.Name.IsExported() {
		return
	}
	name := s.Name.Name
	if s.TypeParams != nil {
		var params []string
		for _, f := range s.TypeParams.List {
			for _, n := range f.Names {
				params = append(params, n.Name+" "+source(f.Type))
			}
		}
		name += "[" + strings.Join(params, ", ") + "]"
	}
	switch t := s.Type.(type) {
	case *ast.StructType:
		a.add("type %s struct", name)
		for _, f := range t.Fields.List {
			a.field(name, f)
		}
	case *ast.InterfaceType:
		a.add("type %s interface", name)
		for _, m := range t.Methods.List {
			if len(m.Names) == 0 {
				a.add("type %s interface, %s", name, source(m.Type))
			}
			for _, n := range m.Names {
				a.add("type %s interface, %s%s", name, n.Name, strings.TrimPrefix(source(m.Type), "func"))
			}
		}
	default:
		equals := ""
		if s.Assign.IsValid() {
			equals = "= "
		}
		a.add("type %s %s%s", name, equals, source(t))
	}
}

func (a *api) field(name string, f *ast.Field) {
	if len(f.Names) == 0 {
		if embedded := source(f.Type); ast.IsExported(embedded[strings.LastIndexAny(embedded, "*.")+1:]) {
			a.add("type %s struct, embeds %s", name, embedded)
		}
	}
	for _, n := range f.Names {
		if n.IsExported() {
			a.add("type %s struct, %s %s", name, n.Name, source(f.Type))
		}
	}
}

// source prints an expression on one line.
func source(n ast.Node) string {
	var b bytes.Buffer
	if err := printer.Fprint(&b, token.NewFileSet(), n); err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(b.String()), " ")
}
