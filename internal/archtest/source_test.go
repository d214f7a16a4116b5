package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// maxLines is the ceiling; most files should have 40 to 400 lines.
const maxLines = 600

func (p *pkg) files() []string {
	var fs []string
	for _, f := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
		fs = append(fs, filepath.Join(p.Dir, f))
	}
	return fs
}

func TestFilesAreShort(t *testing.T) {
	for _, p := range packages(t).own() {
		for _, file := range p.files() {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			lines := bytes.Count(data, []byte("\n"))
			assert.LessOrEqual(t, lines, maxLines, "%s/%s has %d lines: it is more than one noun", p.role(), filepath.Base(file), lines)
		}
	}
}

func TestPackagesAreNamedForWhatTheyAre(t *testing.T) {
	banned := []string{"util", "utils", "common", "base", "types", "helper", "helpers", "misc", "shared", "lib", "core", "tools"}
	for _, p := range packages(t).own() {
		assert.NotContains(t, banned, p.Name, "%s: a bag has no end; name it for the one thing it is", p.ImportPath)
	}
}

// Nothing happens because a package is linked: no registration, no global
// state set up behind the program's back.
func TestNoInitFunctions(t *testing.T) {
	for _, p := range packages(t).own() {
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			for _, d := range file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
					assert.Fail(t, "a package has an init function", "%s/%s", p.role(), name)
				}
			}
		}
	}
}

func TestEveryPackageHasAComment(t *testing.T) {
	for _, p := range packages(t).own() {
		found := len(p.GoFiles) == 0 // a package of tests only
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			require.NoError(t, err)
			found = found || file.Doc != nil
		}
		assert.True(t, found, "%s has no package comment", p.ImportPath)
	}
}
