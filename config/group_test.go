package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/config"
)

func loadText(t *testing.T, text string) (*config.Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return config.Load(&config.Options{Files: []string{file}, Environ: []string{"HOME=/"}})
}

// Queues of a group have its concurrency, and a place in it.
func TestGroups(t *testing.T) {
	t.Parallel()
	c, err := loadText(t, `
service:
  groups:
    jobs: {concurrency: 32}
    mail:
queues:
  a: {url: "mem://a", consumer: {group: jobs, weight: 3, bulkhead: {limit: 20, key: group}}}
  b: {url: "mem://b", consumer: {group: jobs}}
  c: {url: "mem://c", consumer: {group: mail, priority: 2}}
  d: {url: "mem://d", consumer: {group: mail}}
  e: {url: "mem://e", consumer: {concurrency: 5}}
`)
	require.NoError(t, err)
	require.Equal(t, map[string]config.Group{"jobs": {Concurrency: 32}, "mail": {Concurrency: 16}}, c.Service().Groups)
	for name, want := range map[string]config.Consumer{
		"a": {Group: "jobs", Weight: 3, Concurrency: 32}, "b": {Group: "jobs", Concurrency: 32},
		"c": {Group: "mail", Priority: 2, Concurrency: 16}, "d": {Group: "mail", Concurrency: 16}, "e": {Concurrency: 5},
	} {
		q, err := c.Queue(name)
		require.NoError(t, err)
		got := *q.Consumer
		got.Heartbeat, got.Bulkhead = false, nil
		require.Equal(t, want, got, name)
	}
	values := make(map[string]string)
	for _, v := range c.Values() {
		values[v.Path] = v.Text
	}
	require.Equal(t, "32", values["queues.b.consumer.concurrency"])
	require.Equal(t, "32", values["service.groups.jobs.concurrency"])
	require.Equal(t, "16", values["service.groups.mail.concurrency"])
}

func TestFaultsOfGroups(t *testing.T) {
	t.Parallel()
	const groups = "service: {groups: {jobs: {concurrency: 2}}}\n"
	for name, c := range map[string]struct{ text, want string }{
		"weight and priority": {groups + "queues: {a: {url: 'mem://a', consumer: {group: jobs, weight: 1,\n priority: 2}}}",
			`:3:12: queues.a.consumer.priority: the queue has consumer.weight (`},
		"unknown group":  {groups + "queues:\n a: {url: 'mem://a', consumer: {group: jbos}}", `:3:40: queues.a.consumer.group: unknown group "jbos" (did you mean "jobs"?)`},
		"no groups":      {"queues: {a: {url: 'mem://a', consumer: {group: jobs}}}", `unknown group "jobs" (add service.groups.jobs)`},
		"weight alone":   {"queues: {a: {url: 'mem://a', consumer: {weight: 1}}}", "queues.a.consumer.weight: the queue is in no group"},
		"priority alone": {"queues: {a: {url: 'mem://a', consumer: {priority: 1}}}", "queues.a.consumer.priority: the queue is in no group"},
		"concurrency": {groups + "queues: {a: {url: 'mem://a', consumer: {group: jobs, concurrency: 3}}}",
			`queues.a.consumer.concurrency: the queue is in the group "jobs", which has 2 for all its queues`},
		"mixed": {groups + "queues: {a: {url: 'mem://a', consumer: {group: jobs, weight: 3}},\n b: {url: 'mem://b', consumer: {group: jobs, priority: 3}}}",
			`queues.b.consumer.priority: queue "a" of the same group has a weight (`},
		"mixed the other way": {groups + "queues: {a: {url: 'mem://a', consumer: {group: jobs, priority: 3}},\n b: {url: 'mem://b', consumer: {group: jobs, weight: 3}}}",
			`queues.b.consumer.weight: queue "a" of the same group has a priority (`},
		"too many": {groups + "queues: {a: {url: 'mem://a', consumer: {group: jobs}}, b: {url: 'mem://b', consumer: {group: jobs}}, c: {url: 'mem://c', consumer: {group: jobs}}}",
			`service.groups.jobs.concurrency: 2 is less than the 3 queues of the group`},
		"bulkhead":    {groups + "queues: {a: {url: 'mem://a', consumer: {group: jobs, bulkhead: {limit: 5, key: group}}}}", "5 is more than consumer.concurrency ("},
		"wrong value": {"service: {groups: {jobs: {concurrency: 0}}}", "0 is below 1"},
		"wrong key":   {"service: {groups: {jobs: {concurency: 1}}}", `unknown key "concurency"`},
		"zero weight": {groups + "queues: {a: {url: 'mem://a', consumer: {group: jobs, weight: 0}}}", "0 is below 1"},
		"control":     {"service: {control: control.json}", `service.control: "control.json" is not a URL (such as file:///`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := loadText(t, c.text)
			require.ErrorContains(t, err, c.want)
		})
	}
}
