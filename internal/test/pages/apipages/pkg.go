package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const module = "github.com/sluice-go/sluice"

// A pkg is a package as go list describes it.
type pkg struct {
	Dir, ImportPath, Name              string
	GoFiles, TestGoFiles, XTestGoFiles []string

	files *token.FileSet
}

// hidden are the packages of this module that programs don't import.
var hidden = regexp.MustCompile(`/(internal|cmd|examples|docs)(/|$)`)

// list returns the packages that programs can import, in the order of their paths.
func list() ([]*pkg, error) {
	out, err := exec.CommandContext(context.Background(), "go", "list", "-json=Dir,ImportPath,Name,GoFiles,TestGoFiles,XTestGoFiles", module+"/...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("go list: %w", err)
	}
	var all []*pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		p := &pkg{files: token.NewFileSet()}
		switch err := d.Decode(p); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		case p.Name != "main" && len(p.GoFiles) > 0 && !hidden.MatchString(p.ImportPath):
			all = append(all, p)
		}
	}
}

// parse reads a package with its tests, for their examples.
func (p *pkg) parse() (*doc.Package, error) {
	var files []*ast.File
	for _, name := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
		f, err := parser.ParseFile(p.files, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return doc.NewFromFiles(p.files, files, p.ImportPath)
}

// file returns the name of the page of a package.
func file(path string) string {
	return strings.ReplaceAll(strings.TrimPrefix(path, module+"/"), "/", "-") + ".md"
}
