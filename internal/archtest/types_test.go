package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestATypeHasOneFile requires that every method of a type is in the file that
// declares the type, so that a file's name leads to all that a type does.
func TestATypeHasOneFile(t *testing.T) {
	for _, p := range packages(t).own() {
		for _, a := range astrayMethods(t, p) {
			t.Errorf("%s: method %s is in %s, its type in %s", p.role(), a.method, a.file, a.home)
		}
	}
}

// An astray method is in another file than its type.
type astray struct{ method, file, home string }

func astrayMethods(t *testing.T, p *pkg) []astray {
	t.Helper()
	homes := map[string]string{}        // of a type: its file
	methods := map[string][][2]string{} // of a type: names and files of its methods
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv != nil {
					typ := receiver(d.Recv.List[0].Type)
					methods[typ] = append(methods[typ], [2]string{d.Name.Name, name})
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if s, ok := s.(*ast.TypeSpec); ok {
						homes[s.Name.Name] = name
					}
				}
			}
		}
	}
	var out []astray
	for _, typ := range slices.Sorted(maps.Keys(methods)) {
		for _, m := range methods[typ] {
			if m[1] != homes[typ] {
				out = append(out, astray{typ + "." + m[0], m[1], homes[typ]})
			}
		}
	}
	return out
}

// receiver returns the name of a method's type.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.ParenExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
