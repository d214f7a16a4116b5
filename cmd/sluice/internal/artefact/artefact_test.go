package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/require"
)

// run runs the command as the release does.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := command()
	c.SetArgs(args)
	c.SetOut(&out)
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

func TestExtrasHaveWhatAPackageInstalls(t *testing.T) {
	dir := t.TempDir()
	_, err := run(t, "extras", dir)
	require.NoError(t, err)

	for file, text := range map[string]string{
		"completions/sluice.bash":    "__start_sluice",
		"completions/_sluice":        "#compdef sluice",
		"completions/sluice.fish":    "complete -c sluice",
		"completions/sluice.ps1":     "Register-ArgumentCompleter",
		"man/sluice.1":               `.TH "SLUICE" "1" "Jan 1970"`,
		"man/sluice-run.1":           "sluice-run - Handle messages",
		"man/sluice-schedules-run.1": "sluice-schedules-run",
	} {
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(file)))
		require.NoError(t, err)
		require.Contains(t, string(data), text, file)
	}
	for _, shell := range []string{"bash", "zsh"} {
		if path, err := exec.LookPath(shell); err == nil {
			script := filepath.Join(dir, "completions", map[string]string{"bash": "sluice.bash", "zsh": "_sluice"}[shell])
			out, err := exec.CommandContext(t.Context(), path, "-n", script).CombinedOutput()
			require.NoError(t, err, "%s -n: %s", shell, out)
		}
	}
	licenses, err := os.ReadFile(filepath.Join(dir, noticesFile))
	require.NoError(t, err)
	for _, title := range []string{"github.com/spf13/cobra v", "modernc.org/sqlite v", "Go go1."} {
		require.Contains(t, string(licenses), "\n"+title)
	}
	require.Contains(t, string(licenses), "Redistribution and use in source and binary forms")
	require.NotContains(t, string(licenses), "stretchr/testify", "a module of tests is not in the program")
}

// A license that nobody has accepted stops a release.
func TestAnUnknownLicenseIsAnError(t *testing.T) {
	write := func(text string) map[string]string {
		path := filepath.Join(t.TempDir(), "LICENSE")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return map[string]string{"LICENSE": path}
	}
	for name, text := range map[string]string{
		"MIT":        "Permission is hereby granted, free of charge, to any person\nobtaining a copy of this software",
		"Apache-2.0": "     Apache License\n   Version 2.0, January 2004",
		"BSD":        "Redistribution and use in source and binary forms, with or without",
		"ISC":        "Permission to use, copy, modify, and/or distribute this software for",
		"MPL-2.0":    "Mozilla Public License Version 2.0",
	} {
		var out bytes.Buffer
		require.NoError(t, writeNotice(&out, "example.com/m v1.0.0", write(text)))
		require.Contains(t, out.String(), "example.com/m v1.0.0: "+name+"\n")
		require.Contains(t, out.String(), strings.TrimSpace(text))
	}
	for _, files := range []map[string]string{write("GNU GENERAL PUBLIC LICENSE\nVersion 3"), {}} {
		require.ErrorContains(t, writeNotice(&bytes.Buffer{}, "example.com/m v1.0.0", files), "example.com/m v1.0.0: no file has a license that is accepted")
	}
}

func TestTheImageIsTheDockerfiles(t *testing.T) {
	dir, extras := t.TempDir(), t.TempDir()
	binary := filepath.Join(extras, "sluice")
	require.NoError(t, os.WriteFile(binary, []byte("program"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(extras, noticesFile), []byte("notices"), 0o600))
	args := []string{"--amd64", binary, "--arm64", binary, "--extras", extras, "--license", "../../../../LICENSE", "--revision", "abc"}
	_, err := run(t, append([]string{"image", dir}, args...)...)
	require.NoError(t, err)

	index, err := layout.ImageIndexFromPath(filepath.Join(dir, "oci"))
	require.NoError(t, err)
	require.NoError(t, validate.Index(index))
	manifest, err := index.IndexManifest()
	require.NoError(t, err)
	require.Len(t, manifest.Manifests, 2)
	dockerfile, err := os.ReadFile("../../Dockerfile")
	require.NoError(t, err)
	for _, m := range manifest.Manifests {
		require.FileExists(t, filepath.Join(dir, "sluice_"+m.Platform.Architecture+".tar"))
		img, err := index.Image(m.Digest)
		require.NoError(t, err)
		file, err := img.ConfigFile()
		require.NoError(t, err)
		require.Equal(t, m.Platform.Architecture, file.Architecture)
		for _, line := range dockerLines(t, file.Config) {
			require.Contains(t, string(dockerfile), line+"\n", "the Dockerfile has another image than image.go")
		}
	}

	again := t.TempDir()
	_, err = run(t, append([]string{"image", again}, args...)...)
	require.NoError(t, err)
	for _, name := range []string{"sluice_amd64.tar", "oci/index.json"} {
		one, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		two, err := os.ReadFile(filepath.Join(again, name))
		require.NoError(t, err)
		require.True(t, bytes.Equal(one, two), "%s: equal sources gave other bytes", name)
	}

	_, err = run(t, "image", t.TempDir(), "--extras", extras, "--license", "../../../../LICENSE")
	require.ErrorContains(t, err, "no binary is given")
	_, err = run(t, "image", t.TempDir(), "--amd64", binary, "--license", "../../../../LICENSE")
	require.ErrorContains(t, err, "--extras DIR")
}

// dockerLines are the lines by which a Dockerfile says what an image's configuration says.
func dockerLines(t *testing.T, c v1.Config) []string {
	t.Helper()
	list := func(words []string) string {
		data, err := json.Marshal(words)
		require.NoError(t, err)
		return strings.ReplaceAll(string(data), `","`, `", "`)
	}
	lines := []string{
		"ENV " + strings.Join(c.Env, " "), "USER " + c.User, "WORKDIR " + c.WorkingDir, "STOPSIGNAL " + c.StopSignal, "ENTRYPOINT " + list(c.Entrypoint),
		fmt.Sprintf("HEALTHCHECK --interval=%s --timeout=%s --start-period=%s --retries=%d CMD %s",
			c.Healthcheck.Interval, c.Healthcheck.Timeout, c.Healthcheck.StartPeriod, c.Healthcheck.Retries, list(c.Healthcheck.Test[1:])),
	}
	for port := range c.ExposedPorts {
		lines = append(lines, "EXPOSE "+port)
	}
	return lines
}

func TestTheFormulaNamesTheArchives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checksums.txt")
	var sums []string
	for i, name := range []string{"linux_amd64.tar.gz", "linux_arm64.tar.gz", "darwin_amd64.tar.gz", "darwin_arm64.tar.gz", "windows_amd64.zip", "linux_amd64.cdx.json"} {
		sums = append(sums, fmt.Sprintf("%s  sluice_1.2.3_%s", strings.Repeat(fmt.Sprint(i), 64), name))
	}
	write := func(lines ...string) {
		require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	}
	formula := func() (string, error) {
		return run(t, "formula", path, "--template", "../../../../examples/deploy/homebrew/sluice.rb.tmpl")
	}

	write(sums...)
	text, err := formula()
	require.NoError(t, err)
	require.Contains(t, text, `version "1.2.3"`)
	for i, key := range []string{"linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64"} {
		require.Contains(t, text, fmt.Sprintf("url \"https://github.com/sluice-go/sluice/releases/download/v1.2.3/sluice_1.2.3_%s.tar.gz\"\n      sha256 %q\n", key, strings.Repeat(fmt.Sprint(i), 64)))
	}
	require.NotContains(t, text, "{{")

	write(sums[1:]...)
	_, err = formula()
	require.ErrorContains(t, err, "no archive sluice_VERSION_linux_amd64.tar.gz")
	write(append(sums, strings.Repeat("f", 64)+"  sluice_1.2.4_linux_amd64.tar.gz")...)
	_, err = formula()
	require.ErrorContains(t, err, "archives of two versions, 1.2.3 and 1.2.4")
}

// headers returns the modes and owners of the files of an archive.
func headers(t *testing.T, r io.Reader) map[string]string {
	t.Helper()
	found := map[string]string{}
	for files := tar.NewReader(r); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(t, err)
		found[strings.TrimSuffix(h.Name, "/")] = fmt.Sprintf("%s %d:%d", h.FileInfo().Mode(), h.Uid, h.Gid)
	}
}

// The layers have what a program from scratch needs.
func TestTheImageHasItsFiles(t *testing.T) {
	i := &image{extras: t.TempDir(), license: "../../../../LICENSE"}
	require.NoError(t, os.WriteFile(filepath.Join(i.extras, noticesFile), []byte("notices"), 0o600))
	binary := filepath.Join(i.extras, "sluice")
	require.NoError(t, os.WriteFile(binary, []byte("program"), 0o600))
	base, err := i.files()
	require.NoError(t, err)
	img, err := i.build("arm64", binary, base)
	require.NoError(t, err)
	root := mutate.Extract(img)
	t.Cleanup(func() { require.NoError(t, root.Close()) })
	found := headers(t, root)
	for path, want := range map[string]string{
		"etc/ssl/certs/ca-certificates.crt":   "-rw-r--r-- 0:0",
		"etc/passwd":                          "-rw-r--r-- 0:0",
		"tmp":                                 "dtrwxrwxrwx 0:0",
		"var/lib/sluice":                      "drwxr-x--- 65532:65532",
		"usr/share/doc/sluice/LICENSE":        "-rw-r--r-- 0:0",
		"usr/share/doc/sluice/" + noticesFile: "-rw-r--r-- 0:0",
		"usr/local/bin/sluice":                "-rwxr-xr-x 0:0",
		"usr/local":                           "drwxr-xr-x 0:0",
	} {
		require.Equal(t, want, found[path], path)
	}
	require.Greater(t, bytes.Count(certificates(), []byte("BEGIN CERTIFICATE")), 50)
}
