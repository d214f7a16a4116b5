package pages

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/sluice-go/sluice"

// standard are the packages that blocks may name without importing them.
var standard = map[string]string{
	"context": "context", "errors": "errors", "fmt": "fmt", "http": "net/http", "io": "io", "json": "encoding/json", "os": "os",
	"require": "github.com/stretchr/testify/require", "slog": "log/slog", "sql": "database/sql", "strings": "strings",
	"synctest": "testing/synctest", "testing": "testing", "time": "time", "lambda": "github.com/aws/aws-lambda-go/lambda",
	"redis": "github.com/redis/go-redis/v9",
}

// elsewhere are packages that only the benchmarks depend on: blocks that import them
// are compiled there.
var elsewhere = []string{"github.com/hibiken/asynq", "gocloud.dev/pubsub/gcppubsub"}

// The Go blocks of the pages compile. A page without a folder, below docs itself, may
// have statements, which package archtest compiles.
func TestGo(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../../..")
	require.NoError(t, err)
	names := packages(t, root)
	dir := t.TempDir()
	overlay := map[string]map[string]string{"": {}, "internal/bench": {}}
	targets := map[string][]string{}
	blocks := 0
	for page, all := range load(t, root) {
		base := "internal/test/pages/snippets/" + strings.NewReplacer("/", "_", ".md", "", "-", "_").Replace(strings.TrimPrefix(page, "docs/"))
		session := slices.ContainsFunc(all, func(b Block) bool { return b.Kind == "console" })
		for i, b := range all {
			if b.Kind != "go" || session && b.Title != "" { // a session compiles its files
				continue
			}
			in, folder := "", base
			text, alone, err := file(b, names)
			if err != nil {
				require.Equal(t, 1, strings.Count(page, "/"), "%s:%d: %v", page, b.Line, err)
				continue
			}
			if alone {
				folder = fmt.Sprintf("%s_%d", base, i)
			}
			for _, m := range elsewhere {
				if strings.Contains(text, m) {
					in, folder = "internal/bench", "snippets/"+path.Base(folder)
				}
			}
			blocks++
			real := filepath.Join(dir, fmt.Sprintf("%s_%d.go", path.Base(base), i))
			require.NoError(t, os.WriteFile(real, []byte(text), 0o600))
			overlay[in][filepath.Join(root, in, folder, fmt.Sprintf("snippet_%d.go", i))] = real
			targets[in] = append(targets[in], "./"+folder)
		}
	}
	require.Greater(t, blocks, 5, "the pages have Go")
	for in, files := range overlay {
		if len(files) == 0 {
			continue
		}
		replace, err := json.Marshal(map[string]any{"Replace": files})
		require.NoError(t, err)
		list := filepath.Join(dir, "overlay"+path.Base(in)+".json")
		require.NoError(t, os.WriteFile(list, replace, 0o600))
		slices.Sort(targets[in])
		build := exec.CommandContext(t.Context(), "go", append([]string{"build", "-overlay", list}, slices.Compact(targets[in])...)...)
		build.Dir = filepath.Join(root, in)
		out, err := build.CombinedOutput()
		require.NoError(t, err, "in %q: %s", in, out)
	}
}

// file makes a file of a block. It stands alone if it has a package clause or imports.
func file(b Block, names map[string]string) (text string, alone bool, err error) {
	// The lines of an error are the page's.
	at := fmt.Sprintf("//line %s:%d\n", b.Page, b.Line+1)
	if strings.HasPrefix(b.Text, "package ") {
		return at + b.Text, true, nil
	}
	f, err := parser.ParseFile(token.NewFileSet(), "", "package snippet\n"+b.Text, 0)
	if err != nil {
		return "", false, err
	}
	if len(f.Imports) > 0 {
		return "package snippet\n" + at + b.Text, true, nil
	}
	used := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := s.X.(*ast.Ident); ok && id.Obj == nil && names[id.Name] != "" {
				used[id.Name] = names[id.Name]
			}
		}
		return true
	})
	var w strings.Builder
	w.WriteString("package snippet\n")
	for _, name := range slices.Sorted(maps.Keys(used)) {
		fmt.Fprintf(&w, "import %s %q\n", name, used[name])
	}
	return w.String() + at + b.Text, false, nil
}

// packages returns this module's packages that programs may import, and the standard
// ones, by their names.
func packages(t *testing.T, root string) map[string]string {
	names := make(map[string]string)
	require.NoError(t, fs.WalkDir(os.DirFS(root), ".", func(p string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && (d.Name() == "internal" || d.Name() == "testdata" || d.Name() == ".git" || p == "examples" || p == "cmd" || p == "docs") {
			return fs.SkipDir
		}
		if err == nil && strings.HasSuffix(p, ".go") && !strings.HasSuffix(p, "_test.go") {
			dir := path.Dir(p)
			names[path.Base(dir)] = module + "/" + dir
		}
		return err
	}))
	maps.Copy(names, standard)
	return names
}
