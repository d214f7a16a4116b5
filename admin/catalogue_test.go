package admin

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/provision"
)

var update = flag.Bool("update", false, "write docs/doctor.md")

func read(t *testing.T, elem ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{".."}, elem...)...))
	require.NoError(t, err)
	return string(data)
}

// A built fault is one that a driver's test builds on a server: names of cases of
// TestFindings, or of tests.
type built struct{ sqs, pubsub, embedded []string }

func cases(names ...string) []string { return names }

// faults has the tests of each kind of finding.
var faults = map[provision.FaultKind]built{
	"letters-expire":  {cases("letters near their end"), cases("letters near their end"), nil},
	"dlq-retention":   {cases("letters live no longer than messages"), cases("letters live for less than messages"), cases("letters live no longer than messages")},
	"dlq-missing":     {cases("the dead-letter queue is gone"), cases("the dead-letter topic is gone"), nil},
	"dlq-self":        {cases("the queue is its own dead-letter queue"), nil, nil},
	"grants-missing":  {nil, cases("the service may not publish letters", "the service may not acknowledge"), nil},
	"dlq-kind":        {cases("a standard dead-letter queue of a FIFO queue"), nil, nil},
	"dlq-order":       {nil, cases("letters out of order"), nil},
	"topic-missing":   {nil, cases("the topic is gone"), nil},
	"ordering-off":    {nil, cases("no ordering"), cases("no order")},
	"no-dead-letter":  {cases("no redrive policy"), cases("no dead-letter policy"), cases("no dead-letter queue")},
	"attempts-one":    {cases("one attempt"), nil, cases("one attempt")},
	"attempts-many":   {cases("a thousand attempts"), nil, cases("no limit of attempts")},
	"no-retry-policy": {nil, cases("no retry policy"), nil},
	"oldest-message":  {cases("TestTheOldestMessage"), cases("an old message"), nil},
	"short-polling":   {cases("short polling"), nil, nil},
	"no-alarm":        {cases("no alarm"), cases("no alarm", "an alarm that is off"), nil},
	"drift":           {cases("drift"), cases("drift"), cases("drift")},
	"encryption-off":  {cases("no encryption"), nil, nil},

	"dlq-no-subscription":  {nil, cases("nobody reads the dead-letter topic"), nil},
	"visibility-short":     {cases("handlers outlast the lease"), cases("handlers outlast the ack deadline"), cases("handlers outlast the lease")},
	"attempts-headroom":    {cases("no room for other receives"), cases("no room for other deliveries"), cases("no room for other deliveries")},
	"letters-present":      {cases("letters"), cases("letters", "letters that cannot be counted"), cases("letters")},
	"subscription-expires": {nil, cases("the subscription expires", "the dead letters' subscription expires"), nil},
	"no-allow-policy":      {cases("anyone may use the dead-letter queue", "the queue may not use the dead-letter queue"), nil, nil},
	"no-redrive-filter":    {nil, cases("no redrive filter"), nil},
}

// Every finding is built by a test of a driver that can have it, and doctor.md
// says so.
func TestEveryFindingIsBuilt(t *testing.T) {
	files := []struct {
		provider string
		source   string
		cases    func(b built) []string
	}{
		{"drivers/sqs", read(t, "drivers", "sqs", "examine_ext_test.go"), func(b built) []string { return b.sqs }},
		{"drivers/pubsub", read(t, "drivers", "pubsub", "examine_test.go"), func(b built) []string { return b.pubsub }},
		{"drivers/sqlite", read(t, "drivers", "sqlite", "examine_ext_test.go"), func(b built) []string { return b.embedded }},
	}
	total := 0
	for _, e := range catalogue {
		require.Contains(t, faults, e.Kind)
		found := 0
		for _, f := range files {
			for _, name := range f.cases(faults[e.Kind]) {
				found++
				if strings.HasPrefix(name, "Test") {
					require.Contains(t, f.source, "func "+name+"(", e.ID)
					continue
				}
				_, rest, ok := strings.Cut(f.source, `{"`+name+`", func(`)
				require.True(t, ok, "%s has no case %q", f.provider, name)
				end := regexp.MustCompile(`\}, \[\]string\{([^}]*)\}`).FindStringSubmatch(rest)
				require.NotNil(t, end)
				require.Contains(t, end[1], fmt.Sprintf(`"%s %s"`, e.Severity, e.ID), "the case %q of %s wants it", name, f.provider)
			}
		}
		require.NotZero(t, found, "%s has no test", e.ID)
		total += found
	}
	require.Len(t, faults, len(catalogue))
	t.Logf("%d kinds of findings, %d faults built", len(faults), total)
}

// The drivers name kinds of faults that the catalogue has.
func TestTheCatalogueHasTheDriversFaults(t *testing.T) {
	declared := regexp.MustCompile(`FaultKind = "([a-z-]+)"`).FindAllStringSubmatch(read(t, "drivers", "provision", "state.go"), -1)
	require.NotEmpty(t, declared)
	for _, d := range declared {
		i := slices.IndexFunc(catalogue, func(e entry) bool { return string(e.Kind) == d[1] })
		require.GreaterOrEqual(t, i, 0, d[1])
	}
	for _, e := range catalogue {
		require.NotEmpty(t, e.What, e.ID)
		require.NotEmpty(t, e.Why, e.ID)
		require.NotEmpty(t, e.Remedy, e.ID)
	}
}

const intro = `<!-- Generated from the catalogue of package admin: go test ./admin -run DoctorDoc -update -->

# Findings of doctor

` + "`sluice doctor`" + ` examines queues and prints findings. This page lists all of them. Each finding has a stable ID, the fact, the reason
why it matters, and the command that fixes it. The exit status is 3 if there are findings and 0 if there are none. ` + "`--tier critical`" + `
and ` + "`--tier major`" + ` leave out lesser findings, ` + "`-o json`" + ` prints one object a line, and ` + "`--watch 1m`" + ` reports findings that appear or
disappear.

A critical finding means that jobs are being, or will be, lost or handled twice. A major one causes trouble under load or in an
outage. A minor one is a deviation from good practice.

`

const testsIntro = `
## Tests

A test builds each fault on a server, and doctor must report it and nothing else. If ` + "`sluice apply`" + ` mends it, the test applies it. The
columns name cases of ` + "`TestFindings`" + ` in [drivers/sqs](../drivers/sqs/examine_ext_test.go) (on LocalStack, on the SQS server of
` + "`sluice dev`" + `, or on both), in [drivers/pubsub](../drivers/pubsub/examine_test.go) (on Google's fake) and, for the embedded queues,
in [drivers/sqlite](../drivers/sqlite/examine_ext_test.go). A dash means that no test of that provider builds the fault, usually
because the provider cannot have it. ` + "`TestASoundQueueGivesNoFinding`" + ` checks for each provider that a sound queue, FIFO or not, yields no finding. ` + "`TestRules`" + ` in
[admin](../admin/examine_ext_test.go) checks the thresholds.

| ID | SQS | Pub/Sub | embedded |
|---|---|---|---|
`

// mends words a kind of remedy.
func mends(e *entry) string {
	setting := "`" + e.Setting + "`"
	if e.Setting == "" {
		setting = "the setting that it names"
	}
	switch e.Remedy {
	case ApplySpec:
		return "apply the configuration"
	case ChangeSpec:
		return "configure " + setting + " and apply"
	case ReadPlan:
		return "the plan shows the way out"
	case Redrive:
		return "redrive"
	case PeekAndRedrive:
		return "look at them, then redrive"
	case KeepLeases:
		return "run the handlers with a heartbeat, or raise " + setting
	case ConsumeMore:
		return "run more consumers, or raise " + setting
	default:
		return ""
	}
}

// docs/doctor.md is generated from the catalogue.
func TestDoctorDocIsCurrent(t *testing.T) {
	var b strings.Builder
	b.WriteString(intro + "| ID | severity | fault | why it matters | remedy |\n|---|---|---|---|---|\n")
	for _, e := range catalogue {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", e.ID, e.Severity, e.What, e.Why, mends(&e))
	}
	b.WriteString(testsIntro)
	list := func(names []string) string {
		if len(names) == 0 {
			return "-"
		}
		return strings.Join(names, "; ")
	}
	for _, e := range catalogue {
		f := faults[e.Kind]
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", e.ID, list(f.sqs), list(f.pubsub), list(f.embedded))
	}
	path := filepath.Join("..", "docs", "doctor.md")
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o644))
	}
	require.Equal(t, b.String(), read(t, "docs", "doctor.md"), "go test ./admin -run DoctorDoc -update writes it")
}
