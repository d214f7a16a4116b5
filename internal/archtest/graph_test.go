package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/sluice-go/sluice"

// A pkg is go list's description of a package.
type pkg struct {
	ImportPath   string
	Name         string
	Dir          string
	Standard     bool
	Imports      []string
	Deps         []string
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
}

// role is the package's path within the module, "" for the root, and the whole
// import path of a package of another module.
func (p *pkg) role() string { return role(p.ImportPath) }

func role(path string) string {
	if path == module {
		return ""
	}
	return strings.TrimPrefix(path, module+"/")
}

func ours(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }

// under is true for a path of the module that is root or below it.
func under(role, root string) bool { return role == root || strings.HasPrefix(role, root+"/") }

func underAny(role string, roots ...string) bool {
	return slices.ContainsFunc(roots, func(root string) bool { return under(role, root) })
}

// A graph is every package that the module's packages link, tests left out.
type graph map[string]*pkg

var load = sync.OnceValues(func() (graph, error) {
	cmd := exec.Command("go", "list", "-deps",
		"-json=ImportPath,Name,Dir,Standard,Imports,Deps,GoFiles,TestGoFiles,XTestGoFiles", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.New("go list: " + stderr.String())
	}
	g := graph{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return g, nil
		} else if err != nil {
			return nil, err
		}
		g[p.ImportPath] = &p
	}
})

func packages(t *testing.T) graph {
	t.Helper()
	g, err := load()
	require.NoError(t, err)
	require.Contains(t, g, module+"/handler")
	return g
}

// own returns the module's packages, sorted.
func (g graph) own() []*pkg {
	var ps []*pkg
	for _, p := range g {
		if ours(p.ImportPath) {
			ps = append(ps, p)
		}
	}
	slices.SortFunc(ps, func(a, b *pkg) int { return strings.Compare(a.ImportPath, b.ImportPath) })
	return ps
}

// why returns the chain of imports by which from links to.
func (g graph) why(from, to string) string {
	prev := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at == to {
			chain := at
			for p := prev[at]; p != ""; p = prev[p] {
				chain = p + " → " + chain
			}
			return strings.ReplaceAll(chain, module+"/", "")
		}
		if g[at] == nil {
			continue
		}
		for _, next := range g[at].Imports {
			if _, seen := prev[next]; !seen {
				prev[next] = at
				queue = append(queue, next)
			}
		}
	}
	return ""
}
