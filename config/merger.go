package config

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"

	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/outbox"
)

// A merger lays layers over each other.
type merger struct {
	files   []string
	values  *koanf.Koanf
	origins map[string]Origin
	faults  []*Fault
}

func newMerger() *merger {
	return &merger{values: koanf.New(separator), origins: make(map[string]Origin)}
}

// add lays l over the layers before it.
func (m *merger) add(l *layer) {
	m.faults = append(m.faults, l.faults...)
	for _, path := range l.removed {
		m.values.Delete(path)
		for p := range m.origins {
			if p == path || strings.HasPrefix(p, path+separator) {
				delete(m.origins, p)
			}
		}
	}
	// A table is replaced as a whole, as any other value is.
	for path := range l.origins {
		if _, ok := m.values.Get(path).(map[string]any); ok && isTable(path) {
			m.values.Delete(path)
		}
	}
	if err := m.values.Load(confmap.Provider(l.values, ""), nil); err != nil {
		m.faults = append(m.faults, &Fault{Problem: err.Error()})
	}
	for path, o := range l.origins {
		m.origins[path] = o
	}
}

// isTable reports whether a path is that of a mapping of strings.
func isTable(path string) bool {
	n := find(strings.Split(path, separator))
	return n != nil && n.kind == textTable
}

// find returns the schema's node of a path, nil if there is none.
func find(path []string) *node {
	n := schema()
	for _, key := range path {
		if n.kind == byName {
			n = n.of
			continue
		}
		if n = n.child(key); n == nil {
			return nil
		}
	}
	return n
}

// names returns the names of all entries of a section, sorted.
func (m *merger) names(section string) []string {
	var names []string
	if all, ok := m.values.Get(section).(map[string]any); ok {
		for name := range all {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// config makes the Config, or the error with all faults.
func (m *merger) config(open func(context.Context, string) (*outbox.Table, io.Closer, error)) (*Config, error) {
	c := &Config{files: m.files}
	readable := len(m.faults) == 0
	m.bindStore(c, open)
	served := &binding{service: Service{Relay: true}}
	m.bind(served, schema().child("service"), "service")
	c.service = served.service
	groups := newGrouping(m)
	c.service.Groups = groups.groups
	var queues []*binding
	for _, name := range m.names("queues") {
		path := "queues" + separator + name
		m.fillIn(schema().child("queues").of, path)
		q := &binding{Queue: Queue{Name: name, Configured: true, Spec: provision.Spec{Name: name}, store: c.store}}
		m.bind(q, schema().child("queues").of, path)
		queues = append(queues, q)
	}
	if readable { // else a fault could follow from one that was reported already
		groups.check(queues)
	}
	for _, q := range queues {
		if readable {
			m.check(q.Name, q)
		}
		q.Source, q.Sink = cmp.Or(q.Source, q.url), cmp.Or(q.Sink, q.url)
		c.queues = append(c.queues, q.Queue)
	}
	m.bindJobs(c, readable)
	for _, name := range m.names("schedules") {
		m.schedule(c, name, readable)
	}
	if a := c.service.Admin; a != "" && !address(a) {
		at := "service" + separator + "admin"
		m.faults = append(m.faults, &Fault{Origin: m.origins[at], Path: display(at), Problem: fmt.Sprintf("%q is not an address to listen on", a),
			Remedy: "such as 127.0.0.1:9464, a port alone, or off"})
	}
	if at := "service" + separator + "relay"; c.service.Relay && c.store == nil && m.values.Exists(at) {
		m.faults = append(m.faults, &Fault{Origin: m.origins[at], Path: display(at), Problem: "a relay needs a table", Remedy: storeRemedy})
	}
	if u := c.service.Control; u != "" && u != Off && !IsURL(u) {
		at := "service" + separator + "control"
		m.faults = append(m.faults, &Fault{Origin: m.origins[at], Path: display(at), Problem: fmt.Sprintf("%q is not a URL", u),
			Remedy: "such as file:///var/lib/shop/control.json or postgres://host/db, or off"})
	}
	if len(m.faults) > 0 {
		return nil, &Error{Faults: m.faults}
	}
	c.values = m.effective()
	return c, nil
}

// storeRemedy is what to do if something needs a delay_store.
const storeRemedy = "set delay_store, such as postgres://host/db or sqlite://outbox.db"

// top binds a key of the top level, if it is there.
func (m *merger) top(key string) (b binding, given bool) {
	if !m.values.Exists(key) {
		return b, false
	}
	n := schema().child(key)
	if !assign(n.bind(&b), m.values.Get(key)) {
		m.faults = append(m.faults, &Fault{Origin: m.origins[key], Path: key, Problem: "the value is not " + n.what()})
	}
	return b, true
}

// bindStore sets the delay store of c, if there is one.
func (m *merger) bindStore(c *Config, open func(context.Context, string) (*outbox.Table, io.Closer, error)) {
	const at = "delay_store"
	b, given := m.top(at)
	if !given {
		return
	}
	if !IsURL(b.delayStore) {
		m.faults = append(m.faults, &Fault{Origin: m.origins[at], Path: at, Problem: fmt.Sprintf("%q is not a URL: it has no scheme", b.delayStore),
			Remedy: "such as postgres://host/db or sqlite://outbox.db"})
	}
	c.store = &delayStore{url: b.delayStore, origin: m.origins[at], open: open}
}

// bindJobs sets the queues of the kinds of jobs.
func (m *merger) bindJobs(c *Config, readable bool) {
	const at = "jobs"
	b, _ := m.top(at)
	c.jobs = b.jobs
	for _, kind := range slices.Sorted(maps.Keys(b.jobs)) {
		if name := b.jobs[kind]; readable && !slices.Contains(c.Names(), name) {
			m.faults = append(m.faults, &Fault{Origin: m.origins[at], Path: at + "." + kind, Problem: fmt.Sprintf("no queue %q is configured", name),
				Remedy: didYouMean(name, c.Names())})
		}
	}
}

// schedule adds a schedule to c, or the faults that it has.
func (m *merger) schedule(c *Config, name string, readable bool) {
	path := "schedules" + separator + name
	m.fillIn(schema().child("schedules").of, path)
	b := &binding{}
	m.bind(b, schema().child("schedules").of, path)
	b.schedule.complete(name)
	if readable {
		fault := func(key, problem, remedy string) {
			at := path
			if key != "" {
				at += separator + key
			}
			m.faults = append(m.faults, &Fault{Origin: m.origins[at], Path: display(at), Problem: problem, Remedy: remedy})
		}
		b.schedule.check(c.queues, fault)
		if c.store == nil {
			fault("", "a schedule needs a table", storeRemedy)
		}
	}
	c.schedules = append(c.schedules, b.schedule.Schedule)
}

// fillIn sets the standard values of the sections that are given.
func (m *merger) fillIn(s *node, path string) {
	for _, c := range s.children {
		at := path + separator + c.key
		switch {
		case c.kind == section && m.values.Exists(at):
			m.fillIn(c, at)
		case c.standard != nil && !m.values.Exists(at):
			if err := m.values.Set(at, c.standard); err != nil {
				m.faults = append(m.faults, &Fault{Path: display(at), Problem: err.Error()})
			}
			m.origins[at] = Origin{Default: true}
		}
	}
}

// bind fills in a queue from the values below path.
func (m *merger) bind(q *binding, s *node, path string) {
	for _, c := range s.children {
		at := path + separator + c.key
		if !m.values.Exists(at) {
			continue
		}
		if c.kind == byName { // its entries are bound one by one
			continue
		}
		place := c.bind(q)
		if c.kind == section {
			m.bind(q, c, at)
			continue
		}
		if !assign(place, m.values.Get(at)) {
			m.faults = append(m.faults, &Fault{Origin: m.origins[at], Path: display(at), Problem: "the value is not " + c.what()})
		}
	}
}

// assign sets *place to v, if v is of its kind.
func assign(place, v any) bool {
	switch place := place.(type) {
	case *string:
		return set(place, v)
	case *bool:
		return set(place, v)
	case *int:
		return set(place, v)
	case *time.Duration:
		return set(place, v)
	case *float64:
		return set(place, v)
	case *Rate:
		return set(place, v)
	case *Key:
		return set(place, v)
	case *map[string]string:
		table, ok := v.(map[string]any)
		*place = make(map[string]string, len(table))
		for k, text := range table {
			(*place)[k] = fmt.Sprint(text)
		}
		return ok
	default:
		return false
	}
}

// set sets *place to v, or to the zero value if v is of another type.
func set[T any](place *T, v any) bool {
	value, ok := v.(T)
	*place = value
	return ok
}

// check reports faults of a queue that involve several values.
func (m *merger) check(name string, q *binding) {
	spec := &q.Spec
	path := "queues" + separator + name
	fault := func(key, problem, remedy string) {
		at := path
		if key != "" {
			at += separator + strings.ReplaceAll(key, ".", separator)
		}
		o, ok := m.origins[at]
		if !ok {
			o, ok = m.origins[path]
		}
		if !ok { // a queue that variables define has the origins of its keys alone
			for _, key := range slices.Sorted(maps.Keys(m.origins)) {
				if strings.HasPrefix(key, path+separator) {
					o = m.origins[key]
					break
				}
			}
		}
		m.faults = append(m.faults, &Fault{Origin: o, Path: display(at), Problem: problem, Remedy: remedy})
	}
	where := func(key string) string {
		return m.origins[path+separator+strings.ReplaceAll(key, ".", separator)].String()
	}
	if q.Consumer != nil {
		q.Consumer.check(spec, where, fault)
	}
	if q.url == "" && q.Source == "" && q.Sink == "" {
		fault("", "the queue has no URL", "set url, or source and sink")
	}
	if q.url != "" && q.Source != "" && q.Sink != "" {
		fault("url", fmt.Sprintf("it would not be used: source (%s) and sink (%s) go before it", where("source"), where("sink")),
			"set these instead, or take them away with null")
	}
	for _, u := range []struct{ key, value string }{{"url", q.url}, {"source", q.Source}, {"sink", q.Sink}} {
		if u.value != "" && !IsURL(u.value) {
			if strings.HasPrefix(u.value, "projects/") { // Pub/Sub's own name
				fault(u.key, fmt.Sprintf("%q is not a queue URL: it has no scheme", u.value), "write gcppubsub://"+u.value)
				continue
			}
			fault(u.key, fmt.Sprintf("%q is not a queue URL: it has no scheme", u.value), "such as awssqs:///"+name+"?region=us-east-1 or sqlite://jobs.db?queue="+name)
		} else if _, err := url.Parse(u.value); err != nil {
			fault(u.key, "the queue URL is malformed", "")
		}
	}
	if r := spec.Retry; r != nil && r.Min > r.Max {
		fault("retry.min", fmt.Sprintf("%s is more than retry.max, which is %s", FormatDuration(r.Min), FormatDuration(r.Max)), "")
	}
	if r := spec.Retry; r != nil && r.Min == 0 {
		fault("retry.min", "0 would retry without a pause", "give at least 1ms")
	}
	if d := spec.DeadLetter; d != nil && d.Retention > 0 && spec.Retention > d.Retention {
		fault("dead_letter.retention", fmt.Sprintf("%s is less than the queue's retention, %s: letters would expire early",
			FormatDuration(d.Retention), FormatDuration(spec.Retention)), "make it longer")
	}
}

// effective returns every value with its origin, in the order of the schema's sections and
// their keys, sorted by queue and by schedule.
func (m *merger) effective() []Value {
	var vs []Value
	for _, key := range []string{"delay_store", "jobs"} {
		if n := schema().child(key); m.values.Exists(key) {
			vs = append(vs, Value{Path: key, Text: n.format(m.values.Get(key)), Origin: m.origins[key]})
		}
	}
	for _, section := range []string{"queues", "schedules"} {
		for _, name := range m.names(section) {
			vs = m.gather(schema().child(section).of, section+separator+name, vs)
		}
	}
	return m.gather(schema().child("service"), "service", vs)
}

// gather appends the values below path to vs.
func (m *merger) gather(s *node, path string, vs []Value) []Value {
	for _, c := range s.children {
		at := path + separator + c.key
		if !m.values.Exists(at) {
			continue
		}
		switch c.kind {
		case section:
			vs = m.gather(c, at, vs)
			continue
		case byName:
			entries, _ := m.values.Get(at).(map[string]any)
			for _, name := range slices.Sorted(maps.Keys(entries)) {
				vs = m.gather(c.of, at+separator+name, vs)
			}
			continue
		}
		vs = append(vs, Value{Path: display(at), Text: c.format(m.values.Get(at)), Origin: m.origins[at]})
	}
	return vs
}

// display writes a path with dots between its keys.
func display(path string) string { return strings.ReplaceAll(path, separator, ".") }
