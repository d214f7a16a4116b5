package scaffold

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/mod/modfile"
)

const sluice = "github.com/sluice-go/sluice"

// Clone returns the directory of the clone that this program was built from, or "" if
// it isn't there.
func Clone() string {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		return "" // built with -trimpath
	}
	dir := filepath.Join(filepath.Dir(file), "..", "..", "..", "..")
	if _, err := readModule(dir); err != nil {
		return ""
	}
	return dir
}

// readModule reads go.mod of a clone of Sluice.
func readModule(dir string) (*modfile.File, error) {
	path := filepath.Join(dir, "go.mod")
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("no clone of Sluice in %s: %w", dir, err)
	}
	m, err := modfile.Parse(path, content, nil)
	if err != nil {
		return nil, err
	}
	if m.Module == nil || m.Module.Mod.Path != sluice {
		return nil, fmt.Errorf("no clone of Sluice in %s: it has another module", dir)
	}
	return m, nil
}

// modules returns go.mod and go.sum of a module. They have the requirements of the clone, so that
// the module builds as it is; "go mod tidy" takes away those that it doesn't use.
func modules(module, clone string) (map[string][]byte, error) {
	theirs, err := readModule(clone)
	if err != nil {
		return nil, err
	}
	clone, err = filepath.Abs(clone)
	if err != nil {
		return nil, err
	}
	sums, err := os.ReadFile(filepath.Join(clone, "go.sum"))
	if err != nil {
		return nil, err
	}
	m := new(modfile.File)
	steps := []error{m.AddModuleStmt(module), m.AddGoStmt(theirs.Go.Version)}
	if theirs.Toolchain != nil {
		steps = append(steps, m.AddToolchainStmt(theirs.Toolchain.Name))
	}
	for _, err := range steps {
		if err != nil {
			return nil, err
		}
	}
	m.AddNewRequire(sluice, "v0.0.0", false)
	for _, r := range theirs.Require {
		m.AddNewRequire(r.Mod.Path, r.Mod.Version, true)
	}
	if err := m.AddReplace(sluice, "", clone, ""); err != nil {
		return nil, err
	}
	for _, r := range theirs.Replace {
		if err := m.AddReplace(r.Old.Path, r.Old.Version, r.New.Path, r.New.Version); err != nil {
			return nil, err
		}
	}
	m.Cleanup()
	content, err := m.Format()
	return map[string][]byte{"go.mod": content, "go.sum": sums}, err
}
