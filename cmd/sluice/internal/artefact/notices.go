package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// noticesFile has the licenses of everything that the program links.
const noticesFile = "THIRD_PARTY_LICENSES"

// commandPackage is what is released; systems and architectures are what for.
const commandPackage = "github.com/sluice-go/sluice/cmd/sluice"

var (
	systems       = []string{"linux", "darwin", "windows"}
	architectures = []string{"amd64", "arm64"}
)

// licenseFile matches the files that a distribution of a module must carry.
var licenseFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|copyright|notice|patents)([.-].*)?$`)

// licenses are the accepted licenses, with a phrase that each text of one has. A
// module that has none of them stops the release: somebody must read its terms.
var licenses = []struct{ name, phrase string }{
	{"Apache-2.0", "apache license version 2.0"},
	{"MPL-2.0", "mozilla public license version 2.0"},
	{"BSD", "redistribution and use in source and binary forms"},
	{"MIT", "permission is hereby granted free of charge to any person obtaining a copy"},
	{"ISC", "permission to use copy modify and/or distribute this software"},
	{"ISC", "permission to use copy modify and distribute this software"},
}

// A linked package, as go list describes it.
type linked struct {
	Dir      string
	Standard bool
	Module   *struct {
		Path, Version, Dir string
		Main               bool
		Replace            *struct{ Path, Version string }
	}
}

// notices returns the license texts of all modules that the program links on any
// of its systems, and of Go itself.
func notices(ctx context.Context) ([]byte, error) {
	files := map[string]map[string]string{} // of "module version": file names, to their paths
	for _, system := range systems {
		for _, architecture := range architectures {
			if err := addLinked(ctx, files, system, architecture); err != nil {
				return nil, err
			}
		}
	}
	root, err := output(ctx, nil, "go", "env", "GOROOT", "GOVERSION")
	if err != nil {
		return nil, err
	}
	goroot, version, _ := strings.Cut(strings.TrimSpace(string(root)), "\n")
	files["Go "+version] = map[string]string{"LICENSE": filepath.Join(goroot, "LICENSE")}

	var text bytes.Buffer
	text.WriteString("The program sluice links the modules below, under the licenses that follow.\n" +
		"The source of each is at https://proxy.golang.org and https://pkg.go.dev, by path and version.\n")
	var faults []error
	for _, module := range slices.Sorted(maps.Keys(files)) {
		if err := writeNotice(&text, module, files[module]); err != nil {
			faults = append(faults, err)
		}
	}
	return text.Bytes(), errors.Join(faults...)
}

// addLinked adds the license files of the program for one system: those of each
// linked package's folder and of the folders between it and its module's root.
func addLinked(ctx context.Context, files map[string]map[string]string, system, architecture string) error {
	out, err := output(ctx, []string{"GOOS=" + system, "GOARCH=" + architecture, "CGO_ENABLED=0"},
		"go", "list", "-deps", "-json=Dir,Standard,Module", commandPackage)
	if err != nil {
		return err
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p linked
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if p.Standard || p.Module == nil || p.Module.Main {
			continue
		}
		key := p.Module.Path + " " + p.Module.Version
		if files[key] == nil {
			files[key] = map[string]string{}
		}
		for dir := p.Dir; strings.HasPrefix(dir, p.Module.Dir); dir = filepath.Dir(dir) {
			entries, err := os.ReadDir(dir)
			if err != nil {
				return err
			}
			for _, e := range entries {
				if e.Type().IsRegular() && licenseFile.MatchString(e.Name()) && filepath.Ext(e.Name()) != ".go" {
					path := filepath.Join(dir, e.Name())
					name, err := filepath.Rel(p.Module.Dir, path)
					if err != nil {
						return err
					}
					files[key][filepath.ToSlash(name)] = path
				}
			}
		}
	}
}

// writeNotice writes the texts of one module. One of its files must be a license
// that is accepted.
func writeNotice(text *bytes.Buffer, module string, files map[string]string) error {
	var names []string
	var body bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(files)) {
		data, err := os.ReadFile(files[name])
		if err != nil {
			return err
		}
		names = append(names, recognize(data)...)
		fmt.Fprintf(&body, "\n-- %s --\n\n%s\n", name, bytes.TrimSpace(data))
	}
	if len(names) == 0 {
		return fmt.Errorf("%s: no file has a license that is accepted (%s): read its terms, then add them to the list in notices.go or drop the module",
			module, strings.Join(slices.Sorted(maps.Keys(files)), ", "))
	}
	slices.Sort(names)
	fmt.Fprintf(text, "\n%s\n%s: %s\n", strings.Repeat("=", 80), module, strings.Join(slices.Compact(names), ", "))
	_, err := body.WriteTo(text)
	return err
}

// recognize returns the names of the accepted licenses whose phrases are in a text,
// whatever its line breaks, commas and capitals.
func recognize(text []byte) []string {
	words := strings.Join(strings.Fields(strings.ReplaceAll(strings.ToLower(string(text)), ",", "")), " ")
	var names []string
	for _, l := range licenses {
		if strings.Contains(words, l.phrase) {
			names = append(names, l.name)
		}
	}
	return names
}

// output runs a command and returns what it prints, or an error with its complaint.
func output(ctx context.Context, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(complaint.Bytes()))
	}
	return out, nil
}
