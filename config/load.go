package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sort"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"

	"github.com/sluice-go/sluice/drivers/provision"
)

// DefaultFile is the file that is read if none is named and it is there.
const DefaultFile = "sluice.yaml"

// Options name the sources of the configuration. The zero Options, and nil, are the
// defaults.
type Options struct {
	// Files are read in this order, later ones over earlier ones. Each must be
	// there. None means DefaultFile, if that is there.
	Files []string
	// Environ is the environment, in the form of os.Environ. Nil means that of
	// the process.
	Environ []string
}

// Load reads the configuration. The error is an [*Error] with every fault found.
// No file and no variable is an empty configuration, and no error.
func Load(o *Options) (*Config, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Environ == nil {
		opts.Environ = os.Environ()
	}
	files, optional := opts.Files, false
	if len(files) == 0 {
		files, optional = []string{DefaultFile}, true
	}
	lookup := lookupIn(opts.Environ)

	m := newMerger()
	for _, file := range files {
		content, err := os.ReadFile(file)
		switch {
		case err == nil:
			m.files = append(m.files, file)
			m.add(readDocument(file, content, lookup))
		case optional && errors.Is(err, fs.ErrNotExist):
		default:
			m.faults = append(m.faults, &Fault{Origin: Origin{File: file}, Problem: readProblem(err)})
		}
	}
	m.add(readEnviron(opts.Environ, m.queues()))
	return m.config()
}

// readProblem says why a file cannot be read, without its name, which the
// fault's origin has.
func readProblem(err error) string {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return fmt.Sprintf("cannot be read: %v", pe.Err)
	}
	return err.Error()
}

func lookupIn(environ []string) lookupFunc {
	values := make(map[string]string, len(environ))
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok {
			values[name] = value
		}
	}
	return func(name string) (string, bool) {
		v, ok := values[name]
		return v, ok
	}
}

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

func (m *merger) queues() []string {
	var names []string
	if all, ok := m.values.Get("queues").(map[string]any); ok {
		for name := range all {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// config makes the Config, or the error with all faults.
func (m *merger) config() (*Config, error) {
	c := &Config{files: m.files}
	readable := len(m.faults) == 0
	for _, name := range m.queues() {
		path := "queues" + separator + name
		m.fillIn(schema().child("queues").of, path)
		q := &binding{Queue: Queue{Name: name, Configured: true, Spec: provision.Spec{Name: name}}}
		m.bind(q, schema().child("queues").of, path)
		if readable { // else a fault could follow from one that was reported already
			m.check(name, q)
		}
		q.Source, q.Sink = cmp.Or(q.Source, q.url), cmp.Or(q.Sink, q.url)
		c.queues = append(c.queues, q.Queue)
	}
	if len(m.faults) > 0 {
		return nil, &Error{Faults: m.faults}
	}
	c.values = m.effective()
	return c, nil
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

// effective returns every value with its origin, sorted by queue and in the
// schema's order of keys.
func (m *merger) effective() []Value {
	var vs []Value
	for _, name := range m.queues() {
		vs = m.gather(schema().child("queues").of, "queues"+separator+name, vs)
	}
	return vs
}

func (m *merger) gather(s *node, path string, vs []Value) []Value {
	for _, c := range s.children {
		at := path + separator + c.key
		if !m.values.Exists(at) {
			continue
		}
		if c.kind == section {
			vs = m.gather(c, at, vs)
			continue
		}
		vs = append(vs, Value{Path: display(at), Text: c.format(m.values.Get(at)), Origin: m.origins[at]})
	}
	return vs
}

func display(path string) string { return strings.ReplaceAll(path, separator, ".") }
