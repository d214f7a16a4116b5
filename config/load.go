package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-go/sluice/outbox"
)

// DefaultFile is the file that is read if none is named and it is there.
const DefaultFile = "sluice.yaml"

// filesVariable names the files if a program names none.
const filesVariable = "SLUICE_CONFIG"

// Options name the sources of the configuration. The zero Options, and nil, are the
// defaults.
type Options struct {
	// Files are read in this order, later ones over earlier ones. Each must exist.
	// None means those of the variable SLUICE_CONFIG, separated as in PATH, or if
	// that is empty DefaultFile, if it exists.
	Files []string
	// Environ is the environment, in the form of os.Environ. Nil means the
	// environment of the process.
	Environ []string
	// OpenTable opens the table that delay_store names, and returns its database for
	// the caller to close. It may be called concurrently, and should do no IO. Usually it
	// is URL of package outbox/opentable. Nil makes the use of a delay_store an error.
	OpenTable func(ctx context.Context, url string) (*outbox.Table, io.Closer, error)
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
	lookup := lookupIn(opts.Environ)
	files, optional := opts.Files, false
	if list, _ := lookup(filesVariable); len(files) == 0 && list != "" {
		files = filepath.SplitList(list)
	}
	if len(files) == 0 {
		files, optional = []string{DefaultFile}, true
	}

	m := newMerger()
	for _, file := range files {
		if file == "" && len(opts.Files) == 0 { // as in a.yaml:$OVERLAY without the variable
			m.faults = append(m.faults, &Fault{Origin: Origin{Variable: filesVariable}, Problem: "the name of a file is empty",
				Remedy: "name a file between all separators, and at both ends"})
			continue
		}
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
	m.add(readEnviron(opts.Environ, map[string][]string{"queues": m.names("queues"), "schedules": m.names("schedules")}))
	return m.config(opts.OpenTable)
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
