package archtest

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// floors are the folders of design.md's picture, from the top down. A package
// imports packages of its own folder and of the floors below it, nothing above
// and nothing beside it. The first floor that has a package counts. The leaves
// below internal serve all floors: they import handler and the port alone, and
// what they import counts as their importer's.
var floors = []floor{
	{name: "cmd/sluice", has: is("cmd")},
	{name: "examples", has: is("examples")},
	{name: "service", has: is("service")},
	{name: "config", has: is("config")},
	{name: "outbox", has: is("outbox")},
	{name: "job", has: is("job")},
	{name: "admin", has: is("admin")},
	{name: "consumer", has: is("consumer")},
	{name: "inbox", has: is("inbox")},
	{name: "producer", has: is("producer")},
	{name: "bridge", has: is("bridge")},
	{name: "middleware", has: is("middleware")},
	{name: "codec", has: is("codec")},
	{name: "drivers/all", has: is("drivers/all")},
	{name: "drivers", has: is("drivers")},
	{name: "handler", has: is("handler")},
}

// A floor is a folder of the picture.
type floor struct {
	name string
	has  func(role string) bool
}

func floorOf(role string) int {
	return slices.IndexFunc(floors, func(f floor) bool { return f.has(role) })
}

func is(roots ...string) func(string) bool {
	return func(role string) bool { return underAny(role, roots...) }
}

// forTests reports whether a package exists for this repository's tests and
// benchmarks. Programs must not link it.
func forTests(role string) bool {
	return underAny(role, "internal/test", "internal/bench", "internal/archtest")
}

// kits are the packages that users' tests link beside testing.
func kit(role string) bool {
	last := role[strings.LastIndex(role, "/")+1:]
	return last == "drivertest" || last == "handlertest" || last == "storetest" || last == "producertest" || strings.Contains(role, "/drivertest/")
}

// A room is a package, or a folder of packages, that sees less than its floor
// may. Every room that has a package counts.
type room struct {
	has func(role string) bool
	may func(from, to string) bool
	why string
}

// only permits the named packages, and the leaves below internal.
func only(roles ...string) func(from, to string) bool {
	return func(_, to string) bool { return slices.Contains(roles, to) || leaf(to) }
}

// leaf reports whether a package is one of those that all floors share.
func leaf(to string) bool { return under(to, "internal") && !forTests(to) }

// own permits the packages that an internal folder beside the importer holds.
func own(from, to string) bool {
	i := strings.Index(to, "/internal/")
	return i >= 0 && under(from, to[:i])
}

func either(a, b func(from, to string) bool) func(from, to string) bool {
	return func(from, to string) bool { return a(from, to) || b(from, to) }
}

var rooms = []room{
	{func(r string) bool { return r == "handler" }, func(_, _ string) bool { return false },
		"handler depends on the standard library only"},
	{is("handler"), func(_, to string) bool { return under(to, "handler") || leaf(to) },
		"what is below handler serves handlers"},
	{is("middleware"), func(_, to string) bool { return to == "handler" || under(to, "middleware") || leaf(to) },
		"middleware knows handlers, never drivers or the runtime"},
	{is("codec"), func(_, to string) bool { return to == "handler" || under(to, "codec") || leaf(to) },
		"a codec knows messages, never where they come from"},
	{port, only("handler", "drivers"),
		"the port knows no driver"},
	{is("drivers"), func(from, to string) bool {
		return to == "handler" || port(to) || under(to, "drivers/internal") || leaf(to) || sameDriver(from, to) || under(from, "drivers/all")
	}, "a driver knows the port, not other drivers, middleware or the runtime"},
	{is("drivers/internal"), func(_, to string) bool {
		return !under(to, "drivers/sqs") && !under(to, "drivers/pubsub") && !under(to, "drivers/cloud")
	},
		"drivers share it, so it knows none of them"},
	{func(r string) bool { return r == "consumer" || r == "producer" }, either(only("handler", "drivers"), own),
		"the runtime knows the port and no provider"},
	{is("job"), only("handler", "handler/route"),
		"jobs know handlers, and no queue"},
	{is("inbox"), only("handler", "handler/webhook", "drivers", "producer"),
		"an inbox knows producers, and no provider of queues"},
	{is("bridge"), either(only("handler", "drivers"), own),
		"a bridge joins the port to another library, and knows no provider"},
	{is("admin"), func(from, to string) bool {
		return to == "handler" || port(to) || under(to, "admin") || leaf(to)
	},
		"operations know the port and no provider"},
}

// port reports whether a package is of the port: drivers, which the runtime needs,
// and the parts that only operations need.
func port(role string) bool {
	return role == "drivers" || role == "drivers/provision" || role == "drivers/deadletter"
}

// sameDriver reports whether two packages are of one driver's folder.
func sameDriver(from, to string) bool {
	part := func(role string) string {
		s := strings.SplitN(role, "/", 3)
		if len(s) < 2 {
			return ""
		}
		return s[1]
	}
	return under(to, "drivers") && part(from) == part(to) && (!kit(to) || kit(from))
}

func TestImportsGoOneWay(t *testing.T) {
	for _, p := range packages(t).own() {
		from := p.role()
		if forTests(from) || under(from, "localstack") {
			continue
		}
		if leaf(from) {
			for _, to := range p.Imports {
				assert.True(t, !ours(to) || leaf(role(to)) || role(to) == "handler" || role(to) == "drivers", "%s imports %s, but it serves all floors", from, role(to))
			}
			continue
		}
		at := floorOf(from)
		if !assert.GreaterOrEqual(t, at, 0, "%s is on no floor of the picture: see floors", p.ImportPath) {
			continue
		}
		for _, path := range p.Deps {
			if to := role(path); ours(path) && !leaf(to) && !under(to, "localstack") && !(under(from, "examples") && forTests(to)) {
				assert.LessOrEqual(t, at, floorOf(to), "%s links %s, which is above it: %s", from, to, packages(t).why(p.ImportPath, path))
			}
		}
		for _, path := range p.Imports {
			if !ours(path) {
				continue
			}
			to := role(path)
			if under(from, "cmd") && under(to, "localstack") || under(from, "examples") && forTests(to) {
				continue // the command starts a LocalStack; an example may start what stands for a provider
			}
			assert.False(t, under(to, "drivers/all") && !underAny(from, "cmd", "examples", "service"), "%s imports every driver", from)
			for _, r := range rooms {
				if r.has(from) {
					assert.True(t, r.may(from, to), "%s imports %s, but %s", from, to, r.why)
				}
			}
		}
	}
}

// TestLocalStackKnowsNoQueue holds the package that starts a LocalStack to that.
func TestLocalStackKnowsNoQueue(t *testing.T) {
	for _, p := range packages(t).own() {
		for _, to := range p.Imports {
			if under(p.role(), "localstack") && ours(to) {
				assert.True(t, under(role(to), "localstack") || leaf(role(to)), "%s imports %s, but it starts a server and knows nothing of queues", p.role(), role(to))
			}
		}
	}
}

func TestHandlerNeedsTheStandardLibraryOnly(t *testing.T) {
	g := packages(t)
	for _, to := range g[module+"/handler"].Deps {
		assert.True(t, g[to] != nil && g[to].Standard, "handler links %s: %s", to, g.why(module+"/handler", to))
	}
}

// sdks are what a program should link only if it asked for it.
var sdks = map[string]string{
	"Amazon":     "github.com/aws",
	"Google":     "cloud.google.com/go",
	"gRPC":       "google.golang.org/grpc",
	"gocloud":    "gocloud.dev",
	"SQLite":     "modernc.org/sqlite",
	"Redis":      "github.com/redis/go-redis",
	"PostgreSQL": "github.com/jackc/pgx",
	"MongoDB":    "go.mongodb.org",
}

// linkers are the packages that may link SDKs, and which: the last entry that
// fits a package counts. A package that is not below any of them may link none.
// Programs and what opens anything by URL may link all.
var linkers = []struct {
	root string
	may  []string
}{
	{"cmd", all}, {"examples", all}, {"cmd/sluice/internal/cli", all}, {"service/telemetry", []string{"gRPC"}},
	{"drivers/all", all}, {"drivers/cloud", all}, {"middleware/idempotency/open", all},
	{"middleware/idempotency/docstore", []string{"gocloud", "gRPC"}}, {"middleware/idempotency/redisstore", []string{"Redis"}},
	{"middleware/ratelimit/redisstore", []string{"Redis"}}, {"internal/redisclient", []string{"Redis"}},
	{"middleware/control/open", []string{"Redis", "PostgreSQL", "SQLite"}}, {"middleware/internal/controlredis", []string{"Redis"}},
	{"codec/claimcheck", []string{"gocloud", "gRPC"}}, {"bridge/gocloud", []string{"gocloud", "gRPC"}},
	{"consumer/sqslambda", []string{"Amazon"}}, {"consumer/pubsubpush", []string{"Google", "gRPC"}},
	{"internal/test/testserver", all}, {"localstack", all},
	{"drivers/sqs", []string{"Amazon"}}, {"drivers/sqs/sqstest", nil},
	{"internal/test/lambdatest", []string{"Amazon"}}, {"internal/test/pushtest", []string{"Google", "gRPC"}},
	{"drivers/pubsub", []string{"Google", "gRPC"}}, {"drivers/pubsub/pubsubtest", []string{"Google", "gRPC"}},
	{"outbox/pgxtx", []string{"PostgreSQL"}}, {"outbox/opentable", []string{"PostgreSQL", "SQLite"}},
	{"internal/queue/sqlitequeue", []string{"SQLite"}}, {"drivers/sqlite", []string{"SQLite"}},
}

var all = slices.Collect(maps.Keys(sdks))

func mayLink(role string) []string {
	var may []string
	for _, l := range linkers {
		if under(role, l.root) {
			may = l.may
		}
	}
	return may
}

// A program that lists one driver must not pay for another's SDK, nor a
// handler's package for any.
func TestProvidersAreLinkedByTheirOwnDriverOnly(t *testing.T) {
	g := packages(t)
	for _, p := range g.own() {
		for name, root := range sdks {
			if slices.Contains(mayLink(p.role()), name) {
				continue
			}
			if i := slices.IndexFunc(p.Deps, func(to string) bool { return under(to, root) }); i >= 0 {
				assert.Fail(t, "a foreign SDK is linked", "%s links %s: %s", p.role(), name, g.why(p.ImportPath, p.Deps[i]))
			}
		}
	}
}

// A program with one driver links that driver's provider and no other.
func TestEachDriverLinksItsOwnProvider(t *testing.T) {
	g := packages(t)
	require.NotEmpty(t, g.why(module+"/drivers/sqs", "github.com/aws/aws-sdk-go-v2/service/sqs"), "the test looks for the wrong SDK")
	require.NotEmpty(t, g.why(module+"/drivers/pubsub", "cloud.google.com/go/pubsub/v2/apiv1"), "the test looks for the wrong SDK")
}

// No package that a program may link imports the package testing or a test
// library, and no program links what exists for tests.
func TestTestSupportStaysOutOfPrograms(t *testing.T) {
	g := packages(t)
	for _, p := range g.own() {
		if forTests(p.role()) || kit(p.role()) {
			continue
		}
		// A provider's fake may link the package testing, as pstest does: only
		// our own imports count.
		assert.False(t, slices.Contains(p.Imports, "testing"), "%s imports testing", p.role())
		for _, to := range p.Deps {
			if under(to, "github.com/stretchr/testify") || under(to, "pgregory.net/rapid") {
				assert.Fail(t, "a test library is linked", "%s links %s: %s", p.role(), to, g.why(p.ImportPath, to))
				break
			}
		}
		for _, to := range p.Deps {
			if ours(to) && (kit(role(to)) || forTests(role(to)) && !under(p.role(), "examples")) {
				assert.Fail(t, "test support is linked", "%s links %s: %s", p.role(), role(to), g.why(p.ImportPath, to))
			}
		}
	}
}

// A user's handler package imports handler and nothing else of ours; what puts
// a producer or middleware around it still knows no provider.
func TestExamplesKnowNoProvider(t *testing.T) {
	g := packages(t)
	for _, p := range g.own() {
		if !under(p.role(), "examples") || p.Name == "main" {
			continue
		}
		for _, to := range p.Imports {
			if ours(to) && underAny(role(to), "drivers", "consumer") {
				assert.Fail(t, "an example's package knows too much", "%s imports %s", p.role(), role(to))
			}
		}
	}
	const plain = "examples/thumbnails/thumbnail"
	p := g[module+"/"+plain]
	require.NotNil(t, p)
	for _, to := range p.Imports {
		assert.True(t, !ours(to) || to == module+"/handler" || to == module+"/codec/envelope", "%s shows that a handler needs handler (and envelope, to read events) alone, and imports %s", plain, to)
	}
}
