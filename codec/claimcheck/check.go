package claimcheck

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gocloud.dev/blob"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/setting"
)

// keyLength is the length of rand.Text, which keys end with.
const keyLength = 26

// Config configures a [Check]. The zero Config, and nil, are the defaults.
type Config struct {
	// Threshold is the size in bytes above which a body goes to the bucket:
	// body and attributes together, as SQS counts them, with the body as base64
	// where SQS would have it so. Zero means 240 KiB: older
	// SQS queues take 256, and the driver and tracing add some.
	Threshold int

	// Always sends every body to the bucket, but an empty one.
	Always bool

	// Legacy writes S3 pointers as Extended Clients before 1.1 and 2.0 read
	// them. All are read.
	Legacy bool

	// Also are further buckets that bodies are read from, and deleted from where
	// that is wanted: of other senders, or one and the same with another prefix.
	Also []Bucket

	// MaxBytes bounds a body that [Check.Middleware] brings into memory. A
	// larger one is rejected. Zero means 64 MiB. Memory is needed for
	// as many bodies as handlers run at once.
	MaxBytes int64

	// Write has options for uploads, such as encryption with a key of one's own.
	// Nil has the content type application/octet-stream.
	Write *blob.WriterOptions
}

// complete returns a copy of c with its defaults, and its faults.
func (c *Config) complete() (Config, error) {
	d := setting.Copy(c)
	if d.Write == nil {
		d.Write = &blob.WriterOptions{ContentType: "application/octet-stream"}
	}
	return d, errors.Join(
		setting.Default("Threshold", &d.Threshold, 240<<10),
		setting.Default("MaxBytes", &d.MaxBytes, 64<<20),
	)
}

// A Check keeps large bodies in a bucket and brings them back. Make one with
// [New]. Its methods may be called concurrently.
type Check struct {
	cfg  Config
	into Bucket
	from []Bucket // into first
}

// New returns a Check that puts bodies into a bucket and gets them from there
// and from those of Config.Also. A nil config is the defaults. The buckets stay
// the caller's, who closes them.
func New(into Bucket, config *Config) (*Check, error) {
	cfg, err := config.complete()
	c := &Check{cfg: cfg, into: into}
	c.from = append([]Bucket{into}, c.cfg.Also...)
	faults := []error{err}
	for i := range c.from {
		faults = append(faults, c.from[i].validate())
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("claim check: %w", err)
	}
	return c, nil
}

// Prepare puts the body of a large message into the bucket and makes the message
// its pointer. It is for producer.Config.Prepare, after what injects a trace. A
// message that is a pointer already, as one that is sent on, is left as it is. A
// body that has the attributes of a pointer and is none, and an upload that
// fails, are errors.
func (c *Check) Prepare(ctx context.Context, m *handler.Message) error {
	if Claimed(m) {
		if _, err := parse(m.Body); err != nil {
			return fmt.Errorf("claim check: the attributes %s and %s are for pointers, and the body is none: %w", SizeAttribute, LegacySizeAttribute, err)
		}
		return nil
	}
	if !c.large(m) {
		return nil
	}
	p := pointer{class: classOf(c.into.Format, c.cfg.Legacy), bucket: c.into.Name, key: c.into.Prefix + rand.Text()}
	w := watched(ctx, silence+time.Duration(len(m.Body))*time.Second/slowest)
	defer w.end()
	if err := c.into.Blob.WriteAll(w.ctx, p.key, m.Body, c.cfg.Write); err != nil {
		return fmt.Errorf("claim check: put the body of %d bytes into %v: %w", len(m.Body), &p, w.why(err))
	}
	name := SizeAttribute
	if p.class == &legacyClass {
		name = LegacySizeAttribute
	}
	m.SetAttribute(name, strconv.Itoa(len(m.Body)))
	m.Body = p.marshal()
	return nil
}

// large says whether a message's body goes to the bucket.
func (c *Check) large(m *handler.Message) bool {
	if len(m.Body) == 0 {
		return false
	}
	if c.cfg.Always {
		return true
	}
	size := len(m.Body)
	for k, v := range m.Attributes {
		size += len(k) + len("String") + len(v)
	}
	if size > c.cfg.Threshold {
		return true
	}
	// Only near the threshold is it worth while to look at the bytes.
	size += base64.StdEncoding.EncodedLen(len(m.Body)) - len(m.Body)
	return size > c.cfg.Threshold && !text(m.Body)
}

// text is true for what SQS takes as a body as it is.
func text(b []byte) bool {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 || r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return false
		}
		b = b[n:]
	}
	return true
}

// find returns the bucket that a pointer leads to.
func (c *Check) find(p *pointer) (*Bucket, error) {
	named := false
	for i := range c.from {
		b := &c.from[i]
		if b.Name != p.bucket || b.Format != p.class.format {
			continue
		}
		if strings.HasPrefix(p.key, b.Prefix) {
			return b, nil
		}
		named = true
	}
	if named {
		return nil, fmt.Errorf("%w: the key %q is not below the bucket's prefix, bucket %q", ErrForeign, cut(p.key), cut(p.bucket))
	}
	return nil, fmt.Errorf("%w: bucket %q (%v) is not one of those declared, key %q; declare it in Config.Also", ErrForeign, cut(p.bucket), p.class.format, cut(p.key))
}
