package open

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/lockedfile"

	"github.com/sluice-go/sluice/internal/invoke"
)

// file is a control.Store in a file of JSON: an object with a member for each queue. It is
// replaced as a whole, so that readers need no lock; writers have one in another file
// beside it.
type file struct{ path string }

// String names the store.
func (f *file) String() string { return "file://" + filepath.ToSlash(f.path) }

// Load implements control.Store. Without the file there are no states; without its
// directory they can't be known.
func (f *file) Load(context.Context) (map[string]string, error) {
	content, err := os.ReadFile(f.path)
	if invoke.Is(err, fs.ErrNotExist) {
		_, err := os.Stat(filepath.Dir(f.path))
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	raw := make(map[string]json.RawMessage)
	if err := json.Unmarshal(content, &raw); err != nil {
		return nil, fmt.Errorf("%s is not a JSON object of states: %w", f.path, err)
	}
	texts := make(map[string]string, len(raw))
	for queue, text := range raw {
		texts[queue] = string(text)
	}
	return texts, nil
}

// Swap implements control.Store. It may wait for another writer, whatever ctx says.
func (f *file) Swap(ctx context.Context, queue, old, text string) (swapped bool, err error) {
	unlock, err := lockedfile.MutexAt(f.path + ".lock").Lock()
	if err != nil {
		return false, err
	}
	defer unlock()
	texts, err := f.Load(ctx)
	if err != nil || texts[queue] != old {
		return false, err
	}
	raw := make(map[string]json.RawMessage, len(texts)+1)
	for queue, text := range texts {
		raw[queue] = json.RawMessage(text)
	}
	raw[queue] = json.RawMessage(text)
	content, err := json.Marshal(raw)
	if err != nil {
		return false, err
	}
	return true, f.replace(append(content, '\n'))
}

// replace writes the file anew: a reader sees all of it, or the one before.
func (f *file) replace(content []byte) (err error) {
	made, err := os.CreateTemp(filepath.Dir(f.path), filepath.Base(f.path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(made.Name()) // the first error is the one to report
		}
	}()
	_, err = made.Write(content)
	if serr := made.Sync(); err == nil {
		err = serr
	}
	if cerr := made.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	// Workers of other users read it.
	if err := os.Chmod(made.Name(), 0o644); err != nil {
		return err
	}
	return os.Rename(made.Name(), f.path)
}
