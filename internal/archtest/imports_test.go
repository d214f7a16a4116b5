package archtest

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// testSupport are the packages that exist for tests, by name: they may link
// the test libraries, and no program may link them, but for inPrograms.
var testSupport = []string{
	"drivers/drivertest", "handler/handlertest", "drivers/sqs/sqstest", "middleware/idempotency/storetest", "middleware/ratelimit/storetest",
	"internal/test/testserver", "drivers/pubsub/pubsubtest", "internal/test/pushtest", "internal/test/lambdatest", "internal/archtest",
}

// inPrograms are those that programs run for their user: "sluice dev" the
// in-process servers, the localstack command what installs and starts one, and
// examples/everywhere what stands for Lambda and for the push service.
var inPrograms = []string{
	"drivers/sqs/sqstest", "drivers/pubsub/pubsubtest", "internal/install", "internal/process",
	"internal/test/lambdatest", "internal/test/pushtest",
}

// An edge rule says what the packages of a role may import of this module.
type edgeRule struct {
	// who it is about; the first rule that fits a package counts.
	who func(role string) bool
	// may is true for what they may import.
	may func(from, to string) bool
	why string
}

func is(roots ...string) func(string) bool {
	return func(role string) bool { return underAny(role, roots...) }
}

func imports(roots ...string) func(string, string) bool {
	return func(_, to string) bool { return underAny(to, roots...) }
}

// exactly is handler and not what is below it, which is something else.
func exactly(role string) func(string) bool { return func(r string) bool { return r == role } }

// leaves are the internal packages that several layers share.
func leaf(to string) bool {
	return under(to, "internal") && !underAny(to, testSupport...) && !under(to, "cmd/sluice/internal/cli")
}

var edgeRules = []edgeRule{
	{exactly("handler"), func(string, string) bool { return false },
		"handler depends on the standard library only"},
	{is("handler/handlertest"), imports("handler"),
		"a user's tests need no more than the user's handler does"},
	{is("consumer", "producer", "bridge/watermill"), func(_, to string) bool { return to == "handler" || to == "drivers" || leaf(to) },
		"the runtime knows the port and no provider"},
	{is("handler/httphandler", "handler/exechandler"), func(_, to string) bool { return to == "handler" || to == "handler/webhook" || leaf(to) },
		"what hands messages to other programs knows no provider"},
	{is("handler"), func(_, to string) bool {
		return to == "handler" || to == "internal/invoke" || to == "internal/attribute" || to == "internal/seldom"
	},
		"what is below handler serves handlers"},
	{is("middleware"), func(_, to string) bool { return to == "handler" || under(to, "middleware") || leaf(to) },
		"middleware knows handlers, never drivers or the runtime"},
	{exactly("drivers"), func(_, to string) bool { return to == "handler" || leaf(to) },
		"the port knows no driver"},
	{is("drivers/drivertest"), func(_, to string) bool { return to == "handler" || to == "drivers" || leaf(to) },
		"the suite knows no driver"},
	{is("drivers/all"), func(_, to string) bool { return under(to, "drivers") && !under(to, "drivers/drivertest") },
		"drivers/all lists the drivers"},
	{is("drivers"), func(from, to string) bool {
		return to == "handler" || to == "drivers" || leaf(to) || sameDriver(from, to)
	}, "a driver knows the port, not other drivers, middleware or the runtime"},
	{is("cmd/sluice/internal/cli"), func(_, to string) bool { return !underAny(to, "cmd", "examples") },
		"nothing imports programs"},
	{is("internal"), func(_, to string) bool { return !underAny(to, "cmd", "examples", "cmd/sluice/internal/cli") },
		"nothing imports programs"},
	{is("localstack"), imports("localstack", "internal/test/testserver"),
		"it starts a server and knows nothing of queues"},
	{is("cmd", "examples", "config"), func(from, to string) bool { return !under(to, "cmd") || under(from, "cmd") },
		"nothing imports programs"},
}

// sameDriver is true within one folder of drivers: drivers/sqs/sqstest may use
// what drivers/sqs has, and the other way round only where it is no test
// support.
func sameDriver(from, to string) bool {
	part := func(role string) string {
		s := strings.SplitN(role, "/", 3)
		if len(s) < 2 {
			return ""
		}
		return s[1]
	}
	return under(to, "drivers") && part(from) == part(to) && !underAny(to, testSupport...)
}

func TestImportsGoOneWay(t *testing.T) {
	for _, p := range packages(t).own() {
		i := slices.IndexFunc(edgeRules, func(r edgeRule) bool { return r.who(p.role()) })
		if !assert.GreaterOrEqual(t, i, 0, "no rule says what %s may import: give it a place in edgeRules", p.ImportPath) {
			continue
		}
		for _, to := range p.Imports {
			if ours(to) {
				assert.True(t, edgeRules[i].may(p.role(), role(to)), "%s imports %s, but %s", p.role(), role(to), edgeRules[i].why)
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

// sdks are what a program should link only where it asked for it.
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
	{"cmd", all}, {"examples", all}, {"config", all}, {"cmd/sluice/internal/cli", all}, {"cmd/sluice/internal/telemetry", all},
	{"drivers/all", all}, {"drivers/cloud", all}, {"middleware/idempotency/open", all},
	{"middleware/idempotency/docstore", []string{"gocloud", "gRPC"}}, {"middleware/idempotency/redisstore", []string{"Redis"}},
	{"middleware/ratelimit/redisstore", []string{"Redis"}},
	{"codec/claimcheck", []string{"gocloud", "gRPC"}},
	{"internal/test/testserver", all}, {"localstack", all},
	{"drivers/sqs", []string{"Amazon"}}, {"drivers/sqs/sqstest", []string{"SQLite"}},
	{"internal/test/lambdatest", []string{"Amazon"}}, {"internal/test/pushtest", []string{"Google", "gRPC"}},
	{"drivers/pubsub", []string{"Google", "gRPC"}}, {"drivers/pubsub/pubsubtest", []string{"Google", "gRPC"}},
	{"internal/queue", []string{"SQLite"}}, {"drivers/internal/embedded", []string{"SQLite"}},
	{"drivers/mem", []string{"SQLite"}}, {"drivers/sqlite", []string{"SQLite"}},
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

func TestTestSupportStaysOutOfPrograms(t *testing.T) {
	g := packages(t)
	for _, p := range g.own() {
		if underAny(p.role(), testSupport...) {
			continue
		}
		// That a provider's fake links the package testing (pstest does) is not
		// ours to mend: only what we import ourselves counts there.
		assert.False(t, slices.Contains(p.Imports, "testing"), "%s imports testing", p.role())
		for _, to := range p.Deps {
			if under(to, "github.com/stretchr/testify") || under(to, "pgregory.net/rapid") {
				assert.Fail(t, "a test library is linked", "%s links %s: %s", p.role(), to, g.why(p.ImportPath, to))
				break
			}
		}
		for _, to := range p.Deps {
			if ours(to) && underAny(role(to), testSupport...) && !underAny(role(to), inPrograms...) {
				assert.Fail(t, "test support is linked", "%s links %s: %s", p.role(), role(to), g.why(p.ImportPath, to))
			}
		}
	}
	for _, p := range g.own() {
		if underAny(p.role(), inPrograms...) {
			assert.False(t, slices.Contains(p.Imports, "testing"), "%s is run by programs and imports testing", p.role())
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
