// Command apipages writes a page for each package that programs can import, from its
// comments and examples, and one that lists them:
//
//	go run ./internal/test/pages/apipages FOLDER
//
// It prints the names of the files, from the list on. The documentation site makes its
// pages so when it is built.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "apipages:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: apipages FOLDER")
	}
	all, err := list()
	if err != nil {
		return err
	}
	pages := map[string]bool{} // by import path
	for _, p := range all {
		pages[p.ImportPath] = true
	}
	var index strings.Builder
	index.WriteString("# API\n\nThe packages that programs import, as `go doc` shows them.\n\n| package | |\n|---|---|\n")
	names := []string{"index.md"}
	for _, p := range all {
		d, err := p.parse()
		if err != nil {
			return err
		}
		w := &page{pkg: p, doc: d, pages: pages}
		name := file(p.ImportPath)
		if err := os.WriteFile(filepath.Join(args[0], name), []byte(w.text()), 0o600); err != nil {
			return err
		}
		fmt.Fprintf(&index, "| [%s](%s) | %s |\n", strings.TrimPrefix(p.ImportPath, module+"/"), name, strings.ReplaceAll(w.synopsis(), "|", `\|`))
		names = append(names, name)
	}
	if err := os.WriteFile(filepath.Join(args[0], "index.md"), []byte(index.String()), 0o600); err != nil {
		return err
	}
	_, err = fmt.Fprintln(os.Stdout, strings.Join(names, "\n"))
	return err
}
