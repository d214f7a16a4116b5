package pages

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/config"
)

var update = flag.Bool("update", false, "write the generated pages and pictures")

// load returns the blocks of each page below docs that has some, by the page's path.
func load(t *testing.T, root string) map[string][]Block {
	all := make(map[string][]Block)
	require.NoError(t, fs.WalkDir(os.DirFS(root), "docs", func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".md" || strings.HasPrefix(path, "docs/cli/") {
			return err
		}
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			return err
		}
		if blocks := Blocks(path, string(text)); len(blocks) > 0 {
			all[path] = blocks
		}
		return nil
	}))
	require.Greater(t, len(all), 5, "the pages have blocks")
	return all
}

// Blocks of data are what they look like, and configurations load.
func TestData(t *testing.T) {
	t.Parallel()
	kinds := map[string]int{}
	for _, blocks := range load(t, "../../..") {
		for _, b := range blocks {
			kinds[b.Kind]++
			switch b.Kind {
			case "yaml":
				for _, document := range documents(t, b) {
					top, ok := document.(map[string]any)
					switch {
					case ok && (top["queues"] != nil || top["service"] != nil):
						kinds["sluice.yaml"]++
						loads(t, b)
					case ok && top["apiVersion"] != nil:
						kinds["manifest"]++
						meta, _ := top["metadata"].(map[string]any)
						require.NotEmpty(t, top["kind"], "%s:%d", b.Page, b.Line)
						require.NotEmpty(t, meta["name"], "%s:%d", b.Page, b.Line)
					}
				}
			case "json":
				require.True(t, json.Valid([]byte(b.Text)), "%s:%d", b.Page, b.Line)
			case "python":
				parse(t, b, "python3", "-c", "import ast, sys; ast.parse(sys.stdin.read())")
			case "javascript":
				file := filepath.Join(t.TempDir(), "block.mjs")
				require.NoError(t, os.WriteFile(file, []byte(b.Text), 0o600))
				parse(t, b, "node", "--check", file)
			}
		}
	}
	for _, page := range indented(t, "../../..") {
		kinds["indented"]++
		loads(t, page)
	}
	for _, kind := range []string{"sluice.yaml", "manifest", "indented", "json"} {
		require.NotZero(t, kinds[kind], kind)
	}
}

// documents returns those of a block of YAML.
func documents(t *testing.T, b Block) []any {
	var all []any
	for d := yaml.NewDecoder(strings.NewReader(b.Text)); ; {
		var one any
		err := d.Decode(&one)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err, "%s:%d", b.Page, b.Line)
		all = append(all, one)
	}
}

// loads loads a configuration.
func loads(t *testing.T, b Block) {
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	require.NoError(t, os.WriteFile(file, []byte(b.Text), 0o600))
	_, err := config.Load(&config.Options{Files: []string{file}, Environ: []string{"QUEUE_URL=mem://q", "STORE_URL=mem://"}})
	require.NoError(t, err, "%s:%d", b.Page, b.Line)
}

var topKey = regexp.MustCompile("(?m)^(queues|service):$")

// indented returns the configurations that are indented in the README and in docs.
func indented(t *testing.T, root string) []Block {
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	require.NoError(t, err)
	var all []Block
	for _, file := range append(files, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var open *Block
		for i, line := range strings.Split(string(text), "\n") {
			code, ok := strings.CutPrefix(line, "    ")
			switch {
			case open == nil && ok:
				open = &Block{Page: file, Line: i + 1, Text: code + "\n"}
			case open != nil && (ok || line == ""):
				open.Text += code + "\n"
			case open != nil:
				if topKey.MatchString(open.Text) {
					all = append(all, *open)
				}
				open = nil
			}
		}
	}
	return all
}

func parse(t *testing.T, b Block, name string, args ...string) {
	if lacks(name) {
		return
	}
	c := exec.CommandContext(t.Context(), name, args...)
	c.Stdin = strings.NewReader(b.Text)
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s:%d: %s", b.Page, b.Line, out)
}

// lacks reports whether the machine lacks a program and may: in CI it must not.
func lacks(name string) bool {
	_, err := exec.LookPath(name)
	return err != nil && os.Getenv("CI") == ""
}

// The text names the file of a block: GitHub does not show titles.
func TestTitles(t *testing.T) {
	t.Parallel()
	named := 0
	for page, blocks := range load(t, "../../..") {
		text, err := os.ReadFile(filepath.Join("../../..", page))
		require.NoError(t, err)
		for _, b := range blocks {
			if b.Title != "" && b.Kind != "console" {
				named++
				require.Contains(t, string(text), "`"+b.Title+"`", "%s:%d", page, b.Line)
			}
		}
	}
	require.NotZero(t, named)
}

// No page has what a merge leaves for a person.
func TestNoConflicts(t *testing.T) {
	t.Parallel()
	conflict := regexp.MustCompile(`(?m)^(<{7}|>{7}) `)
	require.NoError(t, fs.WalkDir(os.DirFS("../../.."), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".md" {
			return err
		}
		text, err := os.ReadFile(filepath.Join("../../..", path))
		if conflict.Match(text) {
			t.Errorf("%s has a conflict of a merge", path)
		}
		return err
	}))
}

var errorText = regexp.MustCompile("(?m)^### `(.+)`$")

// Each error text of the troubleshooting page is one of the code's.
func TestErrorTexts(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../../..")
	require.NoError(t, err)
	var code strings.Builder
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && (d.Name() == "test" || d.Name() == "bench" || d.Name() == ".git" || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		code.Write(text)
		return err
	}))
	page, err := os.ReadFile("../../../docs/troubleshooting.md")
	require.NoError(t, err)
	texts := errorText.FindAllStringSubmatch(string(page), -1)
	require.Greater(t, len(texts), 30)
	for _, m := range texts {
		for part := range strings.SplitSeq(m[1], "…") {
			if !strings.Contains(code.String(), strings.TrimSpace(part)) {
				t.Errorf("no error has the text %q of %q", part, m[1])
			}
		}
	}
}
