// Package scaffold writes the module of a new worker.
package scaffold

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"
)

//go:embed template
var templates embed.FS

// Providers are the possible values of [Project.Provider].
var Providers = []string{"embedded", "sqs", "pubsub"}

// Stores are the possible values of [Project.Store].
var Stores = []string{"sqlite", "postgres", "redis", "dynamodb", "none"}

// A Project is a worker to write.
type Project struct {
	// Module is the module's path, such as "example.com/orders".
	Module string
	// Queue is the queue's name in the configuration and at the provider.
	Queue string
	// Provider has the queue in production: one of [Providers].
	Provider string
	// Kinds are the kinds of jobs on the queue. None makes one typed handler.
	Kinds []string
	// Store keeps the marks of handled messages: one of [Stores].
	Store string
	// Clone is the directory of a clone of Sluice, which go.mod names: Sluice is not
	// published.
	Clone string
}

var (
	moduleForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._~-]*(/[A-Za-z0-9._~-]+)*$`)
	queueForm  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{2,74}$`)
	kindForm   = regexp.MustCompile(`^[a-z][a-z0-9]*([-_.][a-z0-9]+)*$`)
)

// Check reports all faults of the project.
func (p *Project) Check() error {
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(!moduleForm.MatchString(p.Module) || strings.Contains(p.Module, ".."), "the module %q is not a path such as example.com/orders", p.Module)
	refuse(!queueForm.MatchString(p.Queue), "the queue %q is not a name that SQS and Pub/Sub accept: a letter, then 2 to 74 letters, digits, - or _", p.Queue)
	refuse(!slices.Contains(Providers, p.Provider), "the provider %q is not known (known: %s)", p.Provider, strings.Join(Providers, ", "))
	refuse(!slices.Contains(Stores, p.Store), "the store %q is not known (known: %s)", p.Store, strings.Join(Stores, ", "))
	seen := map[string]string{}
	for _, kind := range p.Kinds {
		if !kindForm.MatchString(kind) {
			refuse(true, "the kind %q is not in lower-case letters and digits, in words that -, _ or . separates", kind)
			continue
		}
		other, twice := seen[camel(kind)]
		refuse(twice, "the kinds %q and %q have the same name in Go, %s", other, kind, camel(kind))
		seen[camel(kind)] = kind
	}
	return errors.Join(errs...)
}

// camel is the Go name of a kind: "send-mail" is SendMail.
func camel(kind string) string {
	var b strings.Builder
	for word := range strings.FieldsFuncSeq(kind, func(r rune) bool { return strings.ContainsRune("-_.", r) }) {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// Name is the last element of the module's path.
func (p *Project) Name() string { return p.Module[strings.LastIndex(p.Module, "/")+1:] }

// Transactional reports whether the store is a SQL database: effects and marks can
// commit together.
func (p *Project) Transactional() bool { return p.Store == "sqlite" || p.Store == "postgres" }

// StoreURL is an example of the store's URL in production.
func (p *Project) StoreURL() string {
	return map[string]string{
		"sqlite": "sqlite:///data/store.db", "postgres": "postgres://user@host/" + p.Name(), "redis": "rediss://host:6379/0?prefix=" + p.Queue + ":",
		"dynamodb": "dynamodb://" + p.Queue + "-marks",
	}[p.Store]
}

// Files returns the project's files by their paths, which have slashes. It fails if
// the project has a fault or the clone can't be read.
func (p *Project) Files() (map[string][]byte, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	files, err := modules(p.Module, p.Clone)
	if err != nil {
		return nil, err
	}
	all := template.New("").Funcs(template.FuncMap{"camel": camel})
	if all, err = all.ParseFS(templates, "template/*"); err != nil {
		return nil, err
	}
	for name, path := range map[string]string{
		"main": "main.go", "handler": "handler.go", "test": "handler_test.go", "config": "sluice.yaml", "production": "production.yaml",
		"docker": "Dockerfile", "dockerignore": ".dockerignore", "gitignore": ".gitignore", "ci": ".github/workflows/ci.yml", "readme": "README.md",
	} {
		var b bytes.Buffer
		if err := all.ExecuteTemplate(&b, name+".tmpl", p); err != nil {
			return nil, err
		}
		files[path] = b.Bytes()
	}
	return files, nil
}

// Write writes the project's files below dir, which it makes. It fails without having
// written anything if one of the files exists.
func (p *Project) Write(dir string) error {
	files, err := p.Files()
	if err != nil {
		return err
	}
	for path := range files {
		_, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(path)))
		if err == nil {
			return fmt.Errorf("%s exists in %s: name another directory", path, dir)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for path, content := range files {
		at := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil { //nolint:gosec // source code, for whoever may read the directory
			return err
		}
		if err := os.WriteFile(at, content, 0o644); err != nil { //nolint:gosec // source code
			return err
		}
	}
	return nil
}
