package archtest

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// given declares the names that snippets of the documentation take for granted.
const given = `ctx context.Context, c *consumer.Consumer, h handler.Handler, charge, transcode, sync, resize, mail handler.HandlerFunc,
	retries handler.Middleware, source drivers.Source, sink drivers.Sink, logger *slog.Logger, addr, id string, body []byte`

// moreGiven declares the names that one package's comment takes for granted besides.
var moreGiven = map[string]string{
	"codec/compress/doc.go":         "chargeOrder func(context.Context, *handler.Message, any) error",
	"config/doc.go":                 "mux *drivers.Mux",
	"consumer/pubsubpush/doc.go":    "subscription *pubsub.PushSubscription, mux *http.ServeMux",
	"consumer/snspush/doc.go":       "mux *http.ServeMux",
	"consumer/sqslambda/doc.go":     "queueURL *url.URL",
	"docs/probes.md":                "mux *http.ServeMux",
	"drivers/cloud/doc.go":          "conn *amqp091.Connection",
	"handler/doc.go":                "charge func(context.Context, []byte) error",
	"handler/webhook/doc.go":        "request *http.Request",
	"inbox/doc.go":                  "secret string, mux *http.ServeMux",
	"middleware/doc.go":             "gateway *breaker.Breaker",
	"service/doc.go":                "charge func(context.Context, *handler.Message, any) error",
	"producer/producertest/sink.go": "t testing.TB, greet func(context.Context, *producer.Producer)",
}

// foreign are the packages of other modules that snippets name, and those that go
// before one of ours in the comment of one package.
var foreign = map[string]string{
	"context": "context", "errors": "errors", "http": "net/http", "slog": "log/slog", "sql": "database/sql", "testing": "testing", "time": "time", "url": "net/url",
	"amqp091": "github.com/rabbitmq/amqp091-go", "aws": "github.com/aws/aws-sdk-go-v2/aws",
	"credentials": "github.com/aws/aws-sdk-go-v2/credentials", "event": "github.com/cloudevents/sdk-go/v2/event",
	"lambda": "github.com/aws/aws-lambda-go/lambda", "rabbitpubsub": "gocloud.dev/pubsub/rabbitpubsub",
	"redis": "github.com/redis/go-redis/v9", "wrapperspb": "google.golang.org/protobuf/types/known/wrapperspb",
	"drivers/cloud/doc.go pubsub": "gocloud.dev/pubsub", "drivers/sqs/sqstest/doc.go sqs": "github.com/aws/aws-sdk-go-v2/service/sqs",
}

// The Go snippets of package comments and of Markdown compile. A snippet that the
// parser refuses as Go is a table or a diagram. The README has a part of
// examples/quickstart, whose test compares the two.
func TestSnippetsOfTheDocumentationCompile(t *testing.T) {
	t.Parallel()
	pkgs := make(map[string]string)
	all, err := load()
	require.NoError(t, err)
	for _, p := range all.own() {
		if !strings.Contains(p.ImportPath, "/internal/") && !strings.Contains(p.ImportPath, "/examples/") && !strings.Contains(p.ImportPath, "/cmd/") {
			pkgs[p.Name] = p.ImportPath
		}
	}
	names := maps.Clone(foreign)
	maps.Copy(names, pkgs)
	dir := t.TempDir()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	overlay := map[string]string{}
	origins := map[string]string{}
	add := func(where string, i int, text string) {
		file, ok := program(where, text, names)
		if !ok {
			return
		}
		base := fmt.Sprintf("s%d", len(origins))
		path := filepath.Join(dir, base+".go")
		require.NoError(t, os.WriteFile(path, []byte(file), 0o600))
		overlay[filepath.Join(root, "internal", "archtest", "snippets", base, "snippet.go")] = path
		origins[base] = fmt.Sprintf("%s, block %d", where, i+1)
	}
	for file, text := range snippets(t, root) {
		for i, s := range text {
			add(file, i, s)
		}
	}
	require.Greater(t, len(origins), 20, "the documentation has snippets")
	replace, err := json.Marshal(map[string]any{"Replace": overlay})
	require.NoError(t, err)
	list := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(list, replace, 0o600))
	args := []string{"build", "-overlay", list}
	for base := range origins {
		args = append(args, "./internal/archtest/snippets/"+base)
	}
	build := exec.CommandContext(t.Context(), "go", args...)
	build.Dir = root
	out, err := build.CombinedOutput()
	said := string(out)
	for base, where := range origins {
		said = strings.ReplaceAll(said, "snippets/"+base+"\n", where+"\n")
	}
	require.NoError(t, err, said)
}

// snippets returns the indented blocks of package comments, and the blocks of Go
// in Markdown, by file.
func snippets(t *testing.T, root string) map[string][]string {
	blocks := make(map[string][]string)
	for _, file := range files(t, root, ".md", ".go") {
		if strings.Contains(file, "internal/") || strings.HasPrefix(file, "examples/") || strings.HasPrefix(file, "cmd/") || strings.HasPrefix(file, "docs/cli/") {
			continue
		}
		var lines []string
		switch {
		case strings.HasSuffix(file, ".md"):
			text, err := os.ReadFile(filepath.Join(root, file))
			require.NoError(t, err)
			lines = strings.Split(string(text), "\n")
		case strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go"):
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.ParseComments|parser.PackageClauseOnly)
			require.NoError(t, err)
			if f.Doc == nil {
				continue
			}
			for _, c := range f.Doc.List {
				lines = append(lines, strings.TrimPrefix(strings.TrimPrefix(c.Text, "//"), " "))
			}
		}
		var block []string
		fenced := ""
		for _, line := range append(lines, "end") {
			if fence, ok := strings.CutPrefix(line, "```"); ok {
				fenced = fence
				continue
			}
			code, ok := strings.CutPrefix(line, "\t")
			if fenced != "" {
				code, ok = line, fenced == "go" && file != "README.md"
			} else if !ok {
				code, ok = strings.CutPrefix(line, "    ")
			}
			switch {
			case ok:
				block = append(block, code)
			case line == "" && block != nil:
				block = append(block, "")
			case block != nil:
				blocks[file] = append(blocks[file], strings.Join(block, "\n"))
				block = nil
			}
		}
	}
	return blocks
}

var (
	ellipsis = regexp.MustCompile(`(?m)^\s*(…|\.\.\.)\s*$`)
	selector = regexp.MustCompile(`\b(\w+)\.\w`)
)

// program wraps statements into a file with the imports that they need. It
// returns false if text is not Go, or names no package.
func program(where, text string, names map[string]string) (string, bool) {
	text = ellipsis.ReplaceAllString(text, "panic(0)")
	var imports, body []string
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "import ") {
			imports = append(imports, line)
		} else {
			body = append(body, line)
		}
	}
	code := strings.Join(body, "\n")
	f, err := parser.ParseFile(token.NewFileSet(), "", "package x\nfunc _() error {\n"+code+"\nreturn nil\n}", 0)
	if err != nil {
		return "", false
	}
	used, defined := map[string]bool{}, map[string]bool{}
	block := f.Decls[0].(*ast.FuncDecl).Body
	for _, s := range block.List {
		if a, ok := s.(*ast.AssignStmt); ok && a.Tok == token.DEFINE {
			for _, e := range a.Lhs {
				defined[e.(*ast.Ident).Name] = true
			}
		}
	}
	ast.Inspect(block, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := s.X.(*ast.Ident); ok && names[id.Name] != "" {
				used[id.Name] = true
			}
		}
		return true
	})
	if len(used) == 0 {
		return "", false
	}
	for _, m := range selector.FindAllStringSubmatch(given+moreGiven[where], -1) {
		used[m[1]] = true
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		path := names[name]
		if dir := filepath.ToSlash(filepath.Dir(where)); filepath.Base(dir) == name {
			path = module + "/" + dir // two packages may have a name
		}
		if other := names[where+" "+name]; other != "" {
			path = other
		}
		imports = append(imports, fmt.Sprintf("import %s %q", name, path))
	}
	delete(defined, "_")
	var b strings.Builder
	fmt.Fprintf(&b, "package snippet\n%s\nfunc _(%s) {\n_ = func(%s) error {\n{\n%s\n", strings.Join(imports, "\n"), given, moreGiven[where], code)
	for _, name := range slices.Sorted(maps.Keys(defined)) {
		fmt.Fprintf(&b, "_ = %s\n", name)
	}
	b.WriteString("}\nreturn nil\n}\n}\n")
	return b.String(), true
}

// files returns the files with one of the extensions, by path from root.
func files(t *testing.T, root string, extensions ...string) []string {
	var found []string
	require.NoError(t, filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (d.Name() == ".git" || d.Name() == "node_modules" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !d.IsDir() && slices.Contains(extensions, filepath.Ext(path)) {
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			found = append(found, filepath.ToSlash(rel))
		}
		return nil
	}))
	return found
}
