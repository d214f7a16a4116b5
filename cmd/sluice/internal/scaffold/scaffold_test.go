package scaffold_test

import (
	"flag"
	"fmt"
	"go/format"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/cmd/sluice/internal/scaffold"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/internal/test/suite"
)

var update = flag.Bool("update", false, "write the golden files")

// combinations are all projects: each provider with each store, for one handler and
// for two kinds of jobs.
func combinations() map[string]scaffold.Project {
	all := map[string]scaffold.Project{}
	for _, provider := range scaffold.Providers {
		for _, store := range scaffold.Stores {
			for name, kinds := range map[string][]string{"one": nil, "kinds": {"resize", "send-mail.v2"}} {
				all[provider+"-"+store+"-"+name] = scaffold.Project{
					Module: "example.com/shop/orders", Queue: "orders", Provider: provider, Kinds: kinds, Store: store, Clone: scaffold.Clone(),
				}
			}
		}
	}
	return all
}

// Each combination has the files of testdata. go.mod and go.sum follow the clone's.
func TestFilesAreGolden(t *testing.T) {
	t.Parallel()
	all := map[string]string{} // content, by the part of the combination that it depends on
	for name, p := range combinations() {
		files, err := p.Files()
		require.NoError(t, err, name)
		require.Contains(t, files, "go.mod")
		require.Contains(t, files, "go.sum")
		delete(files, "go.mod")
		delete(files, "go.sum")
		part := strings.Split(name, "-")
		for path, content := range files {
			key := map[string]string{
				"main.go":         part[0] + "-" + useOfStore(part[1]),
				"handler.go":      kindOfStore(part[1]) + "-" + part[2],
				"handler_test.go": part[2],
				"sluice.yaml":     kindOfStore(part[1]),
				"production.yaml": part[0] + "-" + part[1],
				"README.md":       part[0] + "-" + part[1] + "-" + part[2],
			}[path]
			key = filepath.Join(path, key)
			if other, ok := all[key]; ok {
				require.Equal(t, other, string(content), "%s of %s", path, name)
			}
			all[key] = string(content)
		}
	}
	for key, content := range all {
		if strings.Contains(key, ".go"+string(filepath.Separator)) {
			formatted, err := format.Source([]byte(content))
			require.NoError(t, err, key)
			require.Equal(t, string(formatted), content, key)
		}
		golden := filepath.Join("testdata", key) + ".golden"
		if *update {
			require.NoError(t, os.MkdirAll(filepath.Dir(golden), 0o755))
			require.NoError(t, os.WriteFile(golden, []byte(content), 0o644))
		}
		want, err := os.ReadFile(golden)
		require.NoError(t, err)
		require.Equal(t, string(want), content, golden)
	}
}

func useOfStore(store string) string {
	if store == "none" {
		return store
	}
	return "store"
}

func kindOfStore(store string) string {
	switch store {
	case "sqlite", "postgres":
		return "sql"
	case "none":
		return store
	}
	return "keys"
}

// Each combination builds, is vetted, and passes its own test. The quick run takes two.
func TestEachCombinationPassesItsTest(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(combinations())) {
		p := combinations()[name]
		code := fmt.Sprint(p.Provider, useOfStore(p.Store), len(p.Kinds)) // the rest are comments and configuration
		if seen[code] || !suite.Full() && name != "sqs-postgres-one" && name != "embedded-none-kinds" {
			continue
		}
		seen[code] = true
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "orders")
			require.NoError(t, p.Write(dir))
			for _, command := range []string{"vet", "test"} {
				c := exec.CommandContext(t.Context(), "go", command, "./...")
				c.Dir = dir
				c.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=readonly")
				said, err := c.CombinedOutput()
				require.NoError(t, err, "%s: %s", command, said)
			}
			require.ErrorContains(t, p.Write(dir), "exists")
		})
	}
}

// The configurations load, on a laptop and in production, which refuses to start
// without the settings that it needs.
func TestConfigurationsLoad(t *testing.T) {
	t.Parallel()
	for name, p := range combinations() {
		dir := t.TempDir()
		require.NoError(t, p.Write(dir))
		laptop, production := filepath.Join(dir, "sluice.yaml"), filepath.Join(dir, "production.yaml")
		c, err := config.Load(&config.Options{Files: []string{laptop}, Environ: []string{}})
		require.NoError(t, err, name)
		q, err := c.Queue("orders")
		require.NoError(t, err, name)
		require.Equal(t, "sqlite://queue.db?queue=orders", q.URL(), name)

		both := []string{laptop, production}
		if _, err := config.Load(&config.Options{Files: both, Environ: []string{"GOOGLE_CLOUD_PROJECT=p"}}); p.Store != "none" {
			require.ErrorContains(t, err, "STORE_URL", name)
		}
		c, err = config.Load(&config.Options{Files: both, Environ: []string{"GOOGLE_CLOUD_PROJECT=p", "STORE_URL=" + p.StoreURL()}})
		require.NoError(t, err, name)
		q, err = c.Queue("orders")
		require.NoError(t, err, name)
		require.NotEqual(t, "sqlite://queue.db?queue=orders", q.URL(), name)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	sound := combinations()["sqs-postgres-one"]
	require.NoError(t, sound.Check())
	for want, change := range map[string]func(*scaffold.Project){
		`the module ""`:           func(p *scaffold.Project) { p.Module = "" },
		`the module "../x"`:       func(p *scaffold.Project) { p.Module = "../x" },
		`the queue "a/b"`:         func(p *scaffold.Project) { p.Queue = "a/b" },
		`the provider "kafka"`:    func(p *scaffold.Project) { p.Provider = "kafka" },
		`the store "mongo"`:       func(p *scaffold.Project) { p.Store = "mongo" },
		`the kind "Send Mail"`:    func(p *scaffold.Project) { p.Kinds = []string{"Send Mail"} },
		`same name in Go, SendIt`: func(p *scaffold.Project) { p.Kinds = []string{"send-it", "send.it"} },
		`no clone of Sluice`:      func(p *scaffold.Project) { p.Clone = "/" },
	} {
		p := sound
		change(&p)
		_, err := p.Files()
		require.ErrorContains(t, err, want)
	}
}
