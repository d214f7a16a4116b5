package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// maxLines is the ceiling; most files should have 40 to 400 lines.
const maxLines = 600

func (p *pkg) files() []string {
	var fs []string
	for _, f := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
		fs = append(fs, filepath.Join(p.Dir, f))
	}
	return fs
}

func TestFilesAreShort(t *testing.T) {
	for _, p := range packages(t).own() {
		for _, file := range p.files() {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			lines := bytes.Count(data, []byte("\n"))
			assert.LessOrEqual(t, lines, maxLines, "%s/%s has %d lines: it is more than one noun", p.role(), filepath.Base(file), lines)
		}
	}
}

func TestPackagesAreNamedForWhatTheyAre(t *testing.T) {
	banned := []string{"util", "utils", "common", "base", "types", "helper", "helpers", "misc", "shared", "lib", "core", "tools"}
	for _, p := range packages(t).own() {
		assert.NotContains(t, banned, p.Name, "%s: a bag has no end; name it for the one thing it is", p.ImportPath)
	}
}

// Nothing happens because a package is linked: no registration, no global
// state set up behind the program's back. Generated code is protobuf's, whose
// runtime knows messages by registration.
func TestNoInitFunctions(t *testing.T) {
	for _, p := range packages(t).own() {
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution|parser.ParseComments)
			require.NoError(t, err)
			if ast.IsGenerated(file) {
				continue
			}
			for _, d := range file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
					assert.Fail(t, "a package has an init function", "%s/%s", p.role(), name)
				}
			}
		}
	}
}

func TestEveryPackageHasAComment(t *testing.T) {
	for _, p := range packages(t).own() {
		found := len(p.GoFiles) == 0 // a package of tests only
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			require.NoError(t, err)
			found = found || file.Doc != nil
		}
		assert.True(t, found, "%s has no package comment", p.ImportPath)
	}
}

// ofProviders are the files whose errors.Is, errors.As and errors.Unwrap see no
// error of a user's, with whose they are, or that walk with an end of their own.
var ofProviders = map[string]string{
	"drivers/cloud/natscloud/opener.go":                "the NATS client's",
	"admin/fleet.go":                                   "the drivers'",
	"admin/plan.go":                                    "the drivers'",
	"drivers/mux.go":                                   "net/url's",
	"drivers/pubsub/alarm.go":                          "Cloud Monitoring's",
	"drivers/pubsub/examine.go":                        "the driver's own",
	"drivers/pubsub/grant.go":                          "the driver's own",
	"drivers/pubsub/inspector.go":                      "the driver's own",
	"drivers/pubsub/monitoring.go":                     "Cloud Monitoring's",
	"drivers/pubsub/provision.go":                      "the driver's own",
	"drivers/pubsub/watch.go":                          "the SDK's iterator's",
	"consumer/pubsubpush/endpoint.go":                  "net/http's, of a body",
	"consumer/pubsubpush/envelope.go":                  "encoding/json's",
	"consumer/snspush/endpoint.go":                     "net/http's, of a body",
	"drivers/sqlite/file.go":                           "SQLite's",
	"drivers/internal/embedded/config.go":              "the engine's",
	"drivers/internal/embedded/opened.go":              "the engine's",
	"drivers/internal/embedded/place.go":               "the engine's",
	"drivers/sqlite/opener.go":                         "the operating system's",
	"drivers/sqs/alarm.go":                             "CloudWatch's",
	"drivers/sqs/client.go":                            "a request's context's",
	"drivers/sqs/examine.go":                           "the driver's own",
	"drivers/sqs/inspector.go":                         "the driver's own",
	"drivers/sqs/leftout.go":                           "the AWS SDK's",
	"drivers/sqs/provision.go":                         "the driver's own",
	"drivers/sqs/queue.go":                             "the driver's own",
	"codec/claimcheck/open.go":                         "the package's own",
	"handler/verdict.go":                               "a user's, and it has an end",
	"middleware/backoff/classify.go":                   "a user's, and it has an end",
	"codec/compress/transformer.go":                    "the decoders'",
	"codec/envelope/object.go":                         "the package's own",
	"handler/exechandler/group_unix.go":                "the operating system's",
	"handler/exechandler/handler.go":                   "the operating system's",
	"handler/exechandler/wire.go":                      "encoding/json's",
	"handler/exechandler/worker.go":                    "bufio's",
	"middleware/idempotency/docstore/docstore.go":      "the package's own",
	"middleware/control/state.go":                      "encoding/json's",
	"middleware/idempotency/open/open.go":              "net/url's",
	"middleware/idempotency/sqlstore/sqlstore.go":      "the database driver's",
	"internal/sqlconn/conn.go":                         "the database driver's",
	"middleware/idempotency/sqlstore/txn.go":           "the database driver's",
	"middleware/idempotency/sqlstore/transactional.go": "the database driver's",
	"middleware/internal/controlsql/store.go":          "the database driver's",
	"middleware/idempotency/sqlstore/blame.go":         "the database driver's",
}

// Methods of a user's error (Unwrap, Is, As) may panic or lead back to where they
// began, which errors.Is and errors.As do not come back from; internal/invoke does.
func TestErrorsOfUsersAreLookedAtByInvoke(t *testing.T) {
	ruled := func(role string) bool {
		switch {
		case role == "drivers/drivertest", role == "drivers/sqs/sqstest":
			return false // they are tests, and servers for tests
		case role == "consumer/internal/verdict", role == "middleware/internal/storegate", role == "handler/internal/reach":
			return true
		}
		return under(role, "middleware") || under(role, "handler") || under(role, "drivers") || under(role, "admin")
	}
	for _, p := range packages(t).own() {
		if !ruled(p.role()) {
			continue
		}
		for _, name := range p.GoFiles {
			path := p.role() + "/" + name
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			ast.Inspect(file, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				x, ok := s.X.(*ast.Ident)
				if !ok || x.Name != "errors" || s.Sel.Name != "Is" && s.Sel.Name != "As" && s.Sel.Name != "AsType" && s.Sel.Name != "Unwrap" {
					return true
				}
				assert.Contains(t, ofProviders, path, "%s: errors.%s may meet an error of a user's: call internal/invoke's, or name whose errors it meets in ofProviders", path, s.Sel.Name)
				return true
			})
		}
	}
	for path := range ofProviders {
		b, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(path)))
		require.NoError(t, err)
		assert.Regexp(t, `errors\.(Is|As|AsType|Unwrap)\b`, string(b), "%s has none any more: take it out of ofProviders", path)
	}
}
