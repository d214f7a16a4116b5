package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"gocloud.dev/blob"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/codec/claimcheck"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/handler"
)

// linesType is the media type of a record a line.
const linesType = "application/x-ndjson"

// linesSuffix ends the keys of objects that have letters.
const linesSuffix = ".jsonl"

// A depot is where letters are kept outside of queues: a file, a bucket, or a standard
// stream if it has no name.
type depot struct {
	name   string // of the file, or the bucket's URL without secrets
	bucket *claimcheck.Bucket
}

// openDepot opens the depot that the argument or flag what of a command names.
func openDepot(ctx context.Context, command, what, where string) (*depot, error) {
	if where == "" || where == "-" {
		return &depot{}, nil
	}
	if !strings.Contains(where, "://") {
		return &depot{name: where}, nil
	}
	b, err := openBucket(ctx, command, what, where)
	if err != nil {
		return nil, err
	}
	return &depot{name: config.Redact(where), bucket: &b}, nil
}

// openBucket opens the bucket that the argument or flag what of a command names.
func openBucket(ctx context.Context, command, what, url string) (claimcheck.Bucket, error) {
	if scheme, _, _ := strings.Cut(url, "://"); scheme == "gs" && !blob.DefaultURLMux().ValidBucketScheme(scheme) {
		return claimcheck.Bucket{}, usage("%s: %s: this sluice was built without Google Cloud Storage: build it with -tags sluice_gcs (or sluice_all)", command, what)
	}
	b, err := claimcheck.OpenBucket(ctx, url)
	if err != nil {
		return b, usage("%s: %s: %s", command, what, strings.TrimPrefix(err.Error(), "claim check: "))
	}
	return b, nil
}

// String names the depot that letters are read from.
func (d *depot) String() string { return cmp.Or(d.name, "stdin") }

// Close closes the bucket.
func (d *depot) Close() error {
	if d.bucket == nil {
		return nil
	}
	return d.bucket.Blob.Close()
}

// badInKey matches what a key should not have.
var badInKey = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// key returns the key of a new object with letters of a queue. Keys of a queue are in the
// order of time.
func (d *depot) key(queue string) string {
	return d.bucket.Prefix + badInKey.ReplaceAllString(queue, "-") + time.Now().UTC().Format("-20060102T150405.000Z-") + strings.ToLower(rand.Text()[:6]) + linesSuffix
}

// write has fill write letters of a queue, and returns where they are. An error leaves
// nothing there. A file that exists is not overwritten.
func (d *depot) write(ctx context.Context, stdout io.Writer, queue string, fill func(io.Writer) error) (string, error) {
	switch {
	case d.bucket != nil:
		key := d.key(queue)
		return d.name + " " + key, d.put(ctx, key, fill)
	case d.name == "":
		return "stdout", fill(stdout)
	}
	f, err := os.OpenFile(d.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	err = fill(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		err = errors.Join(err, os.Remove(d.name))
	}
	return d.name, err
}

// put writes an object, or nothing if fill fails.
func (d *depot) put(ctx context.Context, key string, fill func(io.Writer) error) error {
	ctx, abort := context.WithCancel(ctx)
	defer abort()
	w, err := d.bucket.Blob.NewWriter(ctx, key, &blob.WriterOptions{ContentType: linesType})
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	if err := fill(w); err != nil {
		abort() // so that closing stores nothing
		_ = w.Close()
		return err
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// records reads the letters of the depot: of all objects of a bucket below its prefix, in
// the order of their keys.
func (d *depot) records(ctx context.Context, stdin io.Reader) iter.Seq2[*handler.Message, error] {
	switch {
	case d.bucket != nil:
		return d.objects(ctx)
	case d.name == "":
		return letters.ReadRecords(stdin)
	}
	return func(yield func(*handler.Message, error) bool) {
		f, err := os.Open(d.name)
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close()
		named(d.name, letters.ReadRecords(f))(yield)
	}
}

// named adds the name of a file to the errors of its records.
func named(name string, records iter.Seq2[*handler.Message, error]) iter.Seq2[*handler.Message, error] {
	return func(yield func(*handler.Message, error) bool) {
		for m, err := range records {
			if err != nil {
				err = fmt.Errorf("%s: %w", name, err)
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

func (d *depot) objects(ctx context.Context) iter.Seq2[*handler.Message, error] {
	return func(yield func(*handler.Message, error) bool) {
		keys, err := d.keys(ctx)
		if err == nil && len(keys) == 0 {
			err = fmt.Errorf("%s has no object whose key begins with %q and ends with %s", d.name, d.bucket.Prefix, linesSuffix)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		for _, key := range keys {
			r, err := d.bucket.Blob.NewReader(ctx, key, nil)
			if err != nil {
				yield(nil, fmt.Errorf("%s: %w", key, err))
				return
			}
			more := true
			named(key, letters.ReadRecords(r))(func(m *handler.Message, err error) bool {
				more = yield(m, err) && err == nil
				return more
			})
			_ = r.Close() // all that was wanted is read
			if !more {
				return
			}
		}
	}
}

func (d *depot) keys(ctx context.Context) ([]string, error) {
	var keys []string
	for it := d.bucket.Blob.List(&blob.ListOptions{Prefix: d.bucket.Prefix}); ; {
		o, err := it.Next(ctx)
		if err == io.EOF { //nolint:errorlint // gocloud.dev returns io.EOF bare
			slices.Sort(keys)
			return keys, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", d.name, err)
		}
		if strings.HasSuffix(o.Key, linesSuffix) {
			keys = append(keys, o.Key)
		}
	}
}
