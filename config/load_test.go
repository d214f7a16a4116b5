package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers/provision"
)

// write makes the files in a directory of their own and returns their paths in
// the order of the arguments.
func write(t *testing.T, contents ...string) []string {
	t.Helper()
	dir := t.TempDir()
	var paths []string
	for i, c := range contents {
		p := filepath.Join(dir, fmt.Sprintf("%c.yaml", 'a'+i))
		require.NoError(t, os.WriteFile(p, []byte(c), 0o600))
		paths = append(paths, p)
	}
	return paths
}

func load(t *testing.T, environ []string, contents ...string) (*config.Config, error) {
	t.Helper()
	if environ == nil {
		environ = []string{}
	}
	return config.Load(&config.Options{Files: write(t, contents...), Environ: environ})
}

// faults returns the faults of a configuration without the directory of the
// files.
func faults(t *testing.T, environ []string, contents ...string) []string {
	t.Helper()
	_, err := load(t, environ, contents...)
	require.Error(t, err)
	var e *config.Error
	require.ErrorAs(t, err, &e)
	var lines []string
	for _, f := range e.Faults {
		if f.Origin.File != "" {
			f.Origin.File = filepath.Base(f.Origin.File)
		}
		lines = append(lines, f.Error())
	}
	return lines
}

const full = `
queues:
  orders:
    url: awssqs:///orders?region=us-east-1
    visibility_timeout: 60s
    retention: 4d
    dead_letter: {max_attempts: 7, name: orders-dlq, retention: 14d}
    retry: {min: 2s, max: 5m}
    fifo: false
    exactly_once: true
    retain_acked: true
    kms_key: alias/jobs
    tags: {team: shop, cost: 12}
    alarms: {dead_letters: 1, oldest_age: 10m, notify: arn:aws:sns:us-east-1:1:ops}
  events:
    source: gcppubsub://projects/p/subscriptions/events
    sink: gcppubsub://projects/p/topics/events
`

func TestEveryKeyIsRead(t *testing.T) {
	c, err := load(t, nil, full)
	require.NoError(t, err)
	require.Equal(t, []string{"events", "orders"}, c.Names())

	q, err := c.Queue("orders")
	require.NoError(t, err)
	const u = "awssqs:///orders?region=us-east-1"
	require.Equal(t, &config.Queue{Name: "orders", Source: u, Sink: u, Configured: true, Spec: provision.Spec{
		Name: "orders", VisibilityTimeout: time.Minute, Retention: 96 * time.Hour, ExactlyOnce: true, RetainAcked: true,
		KMSKey: "alias/jobs", Tags: map[string]string{"team": "shop", "cost": "12"},
		DeadLetter: &provision.DeadLetter{Name: "orders-dlq", MaxAttempts: 7, Retention: 336 * time.Hour},
		Retry:      &provision.Retry{Min: 2 * time.Second, Max: 5 * time.Minute},
		Alarms:     &provision.Alarms{DeadLetters: 1, OldestAge: 10 * time.Minute, Notify: "arn:aws:sns:us-east-1:1:ops"},
	}}, q)
	require.Equal(t, u, q.URL())

	q, err = c.Queue("events")
	require.NoError(t, err)
	require.Equal(t, "gcppubsub://projects/p/subscriptions/events", q.Source)
	require.Equal(t, "gcppubsub://projects/p/topics/events", q.Sink)
	require.Equal(t, q.Source, q.URL())
	require.Nil(t, q.Spec.DeadLetter)
}

func TestQueueByNameOrURL(t *testing.T) {
	c, err := load(t, nil, full)
	require.NoError(t, err)

	q, err := c.Queue("sqlite:jobs.db?queue=orders")
	require.NoError(t, err)
	require.Equal(t, &config.Queue{Name: "sqlite:jobs.db?queue=orders", Source: "sqlite:jobs.db?queue=orders", Sink: "sqlite:jobs.db?queue=orders"}, q)

	_, err = c.Queue("oders")
	var unknown *config.UnknownQueueError
	require.ErrorAs(t, err, &unknown)
	require.Equal(t, "orders", unknown.Nearest)
	require.EqualError(t, err, `unknown queue "oders": did you mean "orders"? (known: events, orders)`)

	_, err = c.Queue("something-else-entirely")
	require.EqualError(t, err, `unknown queue "something-else-entirely" (known: events, orders; or give the queue as a URL, such as sqlite://jobs.db?queue=something-else-entirely)`)

	_, err = new(config.Config).Queue("jobs")
	require.EqualError(t, err, `unknown queue "jobs": no queue is configured (write a sluice.yaml, or give the queue as a URL, such as sqlite://jobs.db?queue=jobs)`)
}

func TestDefaultFile(t *testing.T) {
	t.Chdir(t.TempDir())
	c, err := config.Load(&config.Options{Environ: []string{}})
	require.NoError(t, err, "no file is no fault")
	require.Empty(t, c.Names())
	require.Empty(t, c.Files())

	require.NoError(t, os.WriteFile(config.DefaultFile, []byte("queues: {jobs: {url: 'mem://jobs'}}"), 0o600))
	c, err = config.Load(&config.Options{Environ: []string{}})
	require.NoError(t, err)
	require.Equal(t, []string{"jobs"}, c.Names())
	require.Equal(t, []string{"sluice.yaml"}, c.Files())

	_, err = config.Load(&config.Options{Files: []string{"other.yaml"}, Environ: []string{}})
	require.EqualError(t, err, "other.yaml: cannot be read: no such file or directory")
}

func TestOverlays(t *testing.T) {
	c, err := load(t, nil, `
queues:
  orders:
    url: awssqs:///orders?region=us-east-1
    visibility_timeout: 60s
    tags: {team: shop, stage: test}
    dead_letter: {max_attempts: 7, name: letters}
    retry: {min: 2s}
  gone: {url: "mem://gone"}
`, `
queues:
  orders:
    url: gcppubsub://projects/p/subscriptions/orders
    tags: {stage: live}
    dead_letter: {max_attempts: 9}
    retry: null
  gone: null
`)
	require.NoError(t, err)
	require.Equal(t, []string{"orders"}, c.Names())
	q, err := c.Queue("orders")
	require.NoError(t, err)
	require.Equal(t, "gcppubsub://projects/p/subscriptions/orders", q.Source)
	require.Equal(t, time.Minute, q.Spec.VisibilityTimeout, "what the overlay does not name stays")
	require.Equal(t, &provision.DeadLetter{Name: "letters", MaxAttempts: 9}, q.Spec.DeadLetter, "sections are merged")
	require.Equal(t, map[string]string{"stage": "live"}, q.Spec.Tags, "tables are replaced")
	require.Nil(t, q.Spec.Retry, "null takes away")
}

func TestAnEmptyKeyTakesNothingAway(t *testing.T) {
	c, err := load(t, nil, "queues: {a: {url: 'mem://a'}}", "queues:\n  # a:\n  #   url: x\n", "", "# nothing\n")
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, c.Names())
}

// All lines of a section are commented out, or left out by a template.
func TestAnEmptyKeyTakesNoMergedSectionAway(t *testing.T) {
	const base = "x-base: &base\n  url: mem://a\n  consumer: {idempotency: {store: 'redis://marks'}}\nqueues:\n  a:\n    <<: *base\n"
	for _, own := range []string{"", "    consumer:\n", "    consumer:\n      # timeout: 3s\n"} {
		c, err := load(t, nil, base+own)
		require.NoError(t, err, own)
		q, err := c.Queue("a")
		require.NoError(t, err)
		require.NotNil(t, q.Consumer, own)
		require.Equal(t, "redis://marks", q.Consumer.Idempotency.Store, own)
	}
	c, err := load(t, nil, base+"    consumer: null\n")
	require.NoError(t, err)
	q, err := c.Queue("a")
	require.NoError(t, err)
	require.Nil(t, q.Consumer, "null takes away")
	require.Equal(t, []string{"a.yaml:7:5: queues.a.url: the key has no value (write null to remove the value of an earlier file)"}, faults(t, nil, base+"    url:\n"))
}

// A variable that is empty, as in the environment of a machine that lacks it, does not count as a value:
// without the key a queue would be unencrypted, without the source another queue is received from.
func TestEmptyAndZeroValuesAreRefused(t *testing.T) {
	for file, want := range map[string]string{
		"queues: {a: {url: '${E}'}}":                                              "queues.a.url: the value is empty",
		"queues: {a: {url: 'mem://a', source: '${E}'}}":                           "queues.a.source: the value is empty",
		"queues: {a: {url: 'mem://a', sink: ' '}}":                                "queues.a.sink: the value is empty",
		"queues: {a: {url: 'mem://a', kms_key: '${E}'}}":                          "queues.a.kms_key: the value is empty",
		"queues: {a: {url: 'mem://a', dead_letter: {name: '${E:-}'}}}":            "queues.a.dead_letter.name: the value is empty",
		"queues: {a: {url: 'mem://a', dead_letter: {retention: 0}}}":              "is not above zero",
		"queues: {a: {url: 'mem://a', alarms: {notify: '${E}'}}}":                 "queues.a.alarms.notify: the value is empty",
		"queues: {a: {url: 'mem://a', visibility_timeout: 0}}":                    "is not above zero",
		"queues: {a: {url: 'mem://a', retention: 0s}}":                            "is not above zero",
		"queues: {a: {url: 'mem://a', retry: {max: 0}}}":                          "is not above zero",
		"queues: {a: {url: 'mem://a', consumer: {idempotency: {store: '${E}'}}}}": "queues.a.consumer.idempotency.store: the value is empty",
		"delay_store: '${E}'":                                                     "delay_store: the value is empty",
	} {
		got := faults(t, []string{"E="}, file)
		require.Len(t, got, 1, file)
		require.Contains(t, got[0], want, file)
	}
}

// An overlay, or a variable, that gives a URL must not leave production's queue in use.
func TestAURLThatIsNotUsedIsRefused(t *testing.T) {
	const base = "queues: {a: {source: 'mem://in', sink: 'mem://out'}}"
	for _, got := range [][]string{
		faults(t, nil, base, "queues: {a: {url: 'mem://dev'}}"),
		faults(t, []string{"SLUICE_QUEUES_A_URL=mem://dev"}, base),
	} {
		require.Len(t, got, 1)
		require.Contains(t, got[0], "queues.a.url: it would not be used: source (")
		require.Contains(t, got[0], "a.yaml:1:40) go before it (set these instead, or take them away with null)")
	}
	c, err := load(t, nil, base, "queues: {a: {url: 'mem://dev', source: null, sink: null}}")
	require.NoError(t, err)
	q, err := c.Queue("a")
	require.NoError(t, err)
	require.Equal(t, "mem://dev", q.Source)
	require.Equal(t, "mem://dev", q.Sink)
}

func TestStandardValues(t *testing.T) {
	c, err := load(t, nil, "queues: {a: {url: 'mem://a', dead_letter: {}, retry: {}}}")
	require.NoError(t, err)
	q, err := c.Queue("a")
	require.NoError(t, err)
	require.Equal(t, &provision.DeadLetter{MaxAttempts: 5}, q.Spec.DeadLetter)
	require.Equal(t, &provision.Retry{Min: time.Second, Max: 10 * time.Minute}, q.Spec.Retry)
}

func TestVariablesInValues(t *testing.T) {
	c, err := load(t, []string{"REGION=eu-west-1", "EMPTY=", "N=3"}, `
queues:
  orders:
    url: awssqs:///${NAME:-orders}?region=${REGION}
    kms_key: a$$b$c${EMPTY}
    visibility_timeout: ${EMPTY:-45s}
    dead_letter: {max_attempts: "${N}"}
`)
	require.NoError(t, err)
	q, err := c.Queue("orders")
	require.NoError(t, err)
	require.Equal(t, "awssqs:///orders?region=eu-west-1", q.Source)
	require.Equal(t, "a$b$c", q.Spec.KMSKey)
	require.Equal(t, 45*time.Second, q.Spec.VisibilityTimeout)
	require.Equal(t, 3, q.Spec.DeadLetter.MaxAttempts)

	require.Equal(t, []string{
		`a.yaml:3:13: queues.a.url: the environment variable NOT_SET is not set; ${NOT_SET:-default} gives a default`,
		`a.yaml:4:13: queues.b.url: ${NOT has no closing }`,
		`a.yaml:5:13: queues.c.url: ${1X} names no variable; write $$ for a dollar sign`,
		`a.yaml:6:44: queues.d.visibility_timeout: "soon" is not a duration such as 500ms, 30s, 5m, 12h, 4d or 2w`,
	}, faults(t, []string{"WAIT=soon"}, `
queues:
  a: { url: "${NOT_SET}" }
  b: { url: "x:${NOT" }
  c: { url: "x:${1X}" }
  d: { url: "mem://d", visibility_timeout: "${WAIT}" }
`))
}

func TestAVariableCannotChangeTheStructure(t *testing.T) {
	c, err := load(t, []string{"EVIL=x\n    fifo: true"}, "queues:\n  a:\n    url: mem://a\n    kms_key: ${EVIL}\n")
	require.NoError(t, err)
	q, err := c.Queue("a")
	require.NoError(t, err)
	require.False(t, q.Spec.FIFO)
	require.Equal(t, "x\n    fifo: true", q.Spec.KMSKey)
}

func TestAnchorsAndMergeKeys(t *testing.T) {
	c, err := load(t, nil, `
queues:
  base: &base
    url: mem://base
    visibility_timeout: &long 90s
    dead_letter: &letters {max_attempts: 3}
  orders:
    <<: *base
    url: mem://orders
  events:
    url: !!str mem://events
    retention: *long
    dead_letter: *letters
  both:
    <<: [*letters2, *base]
  unused: &letters2 {url: mem://first}
`)
	require.NoError(t, err)
	q, err := c.Queue("orders")
	require.NoError(t, err)
	require.Equal(t, "mem://orders", q.Source, "the mapping's own key wins")
	require.Equal(t, 90*time.Second, q.Spec.VisibilityTimeout)
	require.Equal(t, 3, q.Spec.DeadLetter.MaxAttempts)
	q, err = c.Queue("events")
	require.NoError(t, err)
	require.Equal(t, 90*time.Second, q.Spec.Retention)
	require.Equal(t, 3, q.Spec.DeadLetter.MaxAttempts)
	q, err = c.Queue("both")
	require.NoError(t, err)
	require.Equal(t, "mem://first", q.Source, "the first of several wins")
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name, file string
		want       []string
	}{
		{"unknown key", "queues:\n  orders:\n    url: mem://orders\n    visiblity_timeout: 5s\n",
			[]string{`a.yaml:4:5: queues.orders: unknown key "visiblity_timeout" (did you mean "visibility_timeout"?)`}},
		{"unknown key at the top", "queue: {}\n", []string{`a.yaml:1:1: unknown key "queue" (did you mean "queues"?)`}},
		{"unknown key in a section", "queues: {a: {url: 'mem://a', dead_letter: {max_atempts: 3}}}\n",
			[]string{`a.yaml:1:44: queues.a.dead_letter: unknown key "max_atempts" (did you mean "max_attempts"?)`}},
		{"several at once", "queues:\n  a:\n    url: mem://a\n    x_long_unlike: 1\n    retention: 60\n    fifo: perhaps\n    dead_letter: {max_attempts: 0}\n",
			[]string{
				`a.yaml:4:5: queues.a: unknown key "x_long_unlike" (known: url, source, sink, visibility_timeout, retention, fifo, exactly_once, retain_acked, kms_key, tags, dead_letter, retry, consumer, alarms)`,
				`a.yaml:5:16: queues.a.retention: "60" has no unit: write 60s, 60m, 60h or 60d`,
				`a.yaml:6:11: queues.a.fifo: "perhaps" is neither true nor false`,
				`a.yaml:7:33: queues.a.dead_letter.max_attempts: 0 is below 1`,
			}},
		{"wrong kinds", "queues:\n  a: [1]\n  b: {url: {x: 1}, tags: [y], dead_letter: 5, retention: [1s]}\n",
			[]string{
				`a.yaml:2:6: queues.a: this is a list, but a mapping is required`,
				`a.yaml:3:12: queues.b.url: this is a mapping, but a string is required`,
				`a.yaml:3:26: queues.b.tags: this is a list, but a mapping of strings is required`,
				`a.yaml:3:44: queues.b.dead_letter: this is a value, but a mapping is required`,
				`a.yaml:3:58: queues.b.retention: this is a list, but a duration such as 30s or 4d is required`,
			}},
		{"no mapping at all", "just text\n", []string{`a.yaml:1:1: this is a value, but a mapping is required`}},
		{"no value", "queues:\n  a:\n    url:\n", []string{`a.yaml:3:5: queues.a.url: the key has no value (write null to remove the value of an earlier file)`}},
		{"bad name", "queues: {'a:b': {url: 'mem://a'}}\n", []string{`a.yaml:1:10: queues: "a:b" is not a valid name: it may have letters and digits, and . _ - after the first character`}},
		{"duplicate key", "queues:\n  a: {url: 'mem://a'}\n  a: {url: 'mem://b'}\n", []string{`a.yaml:3:3: mapping key "a" already defined at [2:3]`}},
		{"no YAML", "queues: {a: \n", nil},
		{"two documents", "queues: {}\n---\nqueues: {}\n", []string{`a.yaml:3:1: a second YAML document begins here (put each in its own file and repeat --config)`}},
		{"no anchor", "queues: {a: {url: *nowhere}}\n", []string{`a.yaml:1:19: queues.a.url: there is no anchor &nowhere`}},
		{"no URL", "queues:\n  a: {fifo: true}\n", []string{`a.yaml:2:3: queues.a: the queue has no URL (set url, or source and sink)`}},
		{"not a URL", "queues:\n  a: {url: orders}\n", []string{`a.yaml:2:12: queues.a.url: "orders" is not a queue URL: it has no scheme (such as awssqs:///a?region=us-east-1 or sqlite://jobs.db?queue=a)`}},
		{"Pub/Sub's name", "queues:\n  a: {url: projects/p/subscriptions/s}\n", []string{`a.yaml:2:12: queues.a.url: "projects/p/subscriptions/s" is not a queue URL: it has no scheme (write gcppubsub://projects/p/subscriptions/s)`}},
		{"malformed URL", "queues:\n  a: {url: 'mem://u:secret@[x'}\n", []string{`a.yaml:2:12: queues.a.url: the queue URL is malformed`}},
		{"retry turned round", "queues:\n  a:\n    url: mem://a\n    retry: {min: 11m}\n", []string{`a.yaml:4:18: queues.a.retry.min: 11m is more than retry.max, which is 10m`}},
		{"no pause", "queues:\n  a:\n    url: mem://a\n    retry: {min: 0}\n", []string{`a.yaml:4:18: queues.a.retry.min: 0 would retry without a pause (give at least 1ms)`}},
		{"letters expire early", "queues:\n  a:\n    url: mem://a\n    retention: 4d\n    dead_letter: {retention: 3d}\n",
			[]string{`a.yaml:5:30: queues.a.dead_letter.retention: 3d is less than the queue's retention, 4d: letters would expire early (make it longer)`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := faults(t, nil, c.file)
			if c.want == nil {
				require.Len(t, got, 1)
				require.Regexp(t, `^a\.yaml:\d+:\d+: `, got[0])
				return
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestFaultsOfAllFilesAreTold(t *testing.T) {
	require.Equal(t, []string{
		`a.yaml:1:14: queues.x: unknown key "urll" (did you mean "url"?)`,
		`b.yaml:1:1: unknown key "quues" (did you mean "queues"?)`,
	}, faults(t, nil, "queues: {x: {urll: 'mem://x'}}", "quues: 1"))
}

func TestAliasesThatContainThemselves(t *testing.T) {
	for _, file := range []string{
		"queues: &a\n  x: *a\n",
		"queues: &a\n  <<: *a\n  y: {url: 'mem://y'}\n",
		"queues:\n  x: &x *x\n",
	} {
		_, err := load(t, nil, file)
		require.Error(t, err, file)
	}
}

func FuzzLoad(f *testing.F) {
	for _, s := range []string{full, "queues: {a: {url: 'mem://a', dead_letter: {}}}", "a: &a [*a]", "queues: &q {<<: *q}", "? x\n: y", "- 1", "queues:\n\tx: 1", "%YAML 1.2\n---\n", "queues: {a: {url: \"${X:-mem://x}\"}}", "\x00", "queues: {a: !!binary aGk=}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, content string) {
		p := filepath.Join(t.TempDir(), "f.yaml")
		require.NoError(t, os.WriteFile(p, []byte(content), 0o600))
		c, err := config.Load(&config.Options{Files: []string{p}, Environ: []string{}})
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		for _, name := range c.Names() {
			q, err := c.Queue(name)
			require.NoError(t, err)
			require.True(t, q.Source != "" || q.Sink != "", "a queue without a URL was let through")
		}
		for _, v := range c.Values() {
			require.NotEmpty(t, v.Origin.String(), v.Path)
		}
	})
}

// SLUICE_CONFIG names files if the program names none.
func TestFilesOfTheEnvironment(t *testing.T) {
	paths := write(t, "queues: {a: {url: 'mem://a'}}", "queues: {b: {url: 'mem://b'}}", "queues: {c: {url: 'mem://c'}}")
	list := "SLUICE_CONFIG=" + paths[0] + string(filepath.ListSeparator) + paths[1]

	c, err := config.Load(&config.Options{Environ: []string{list}})
	require.NoError(t, err)
	require.Equal(t, paths[:2], c.Files())
	require.Equal(t, []string{"a", "b"}, c.Names())

	c, err = config.Load(&config.Options{Environ: []string{list}, Files: paths[2:]})
	require.NoError(t, err)
	require.Equal(t, []string{"c"}, c.Names(), "the program's own files come first")

	c, err = config.Load(&config.Options{Environ: []string{"SLUICE_CONFIG="}})
	require.NoError(t, err)
	require.Empty(t, c.Files(), "an empty variable is none")

	_, err = config.Load(&config.Options{Environ: []string{list + "x"}})
	require.ErrorContains(t, err, "cannot be read", "a file that is named must exist")

	_, err = config.Load(&config.Options{Environ: []string{list + string(filepath.ListSeparator)}})
	require.EqualError(t, err, "$SLUICE_CONFIG: the name of a file is empty (name a file between all separators, and at both ends)")
}
