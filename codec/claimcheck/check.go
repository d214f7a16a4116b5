package claimcheck

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/sqstext"
)

// keyLength is the length of rand.Text, which keys end with.
const keyLength = 26

// A Check puts large bodies into a bucket and reads them back. Create one with [New].
// Its methods may be called concurrently.
type Check struct {
	cfg  Config
	into Bucket
	from []Bucket // into first
}

// New returns a Check that puts bodies into a bucket and reads them from it and from
// those of Config.Also. A nil config selects the defaults. The caller remains the
// owner of the buckets.
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
	for i := range c.from {
		c.from[i].folder = isFolder(c.from[i].Blob)
	}
	return c, nil
}

// Prepare puts the body of a large message into the bucket and replaces it by a
// pointer. Use it in producer.Config.Prepare, after the function that injects a
// trace. It does not change a message that is already a pointer, such as one that is
// forwarded. It returns an error if the upload fails, or if a message has the
// attribute of a pointer and its body is not one.
func (c *Check) Prepare(ctx context.Context, m *handler.Message) error {
	if Claimed(m) {
		if _, err := parse(m.Body); err != nil {
			return fmt.Errorf("claim check: the attributes %s and %s are reserved for pointers, but the body is not a pointer: %w", sizeAttribute, legacySizeAttribute, err)
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
	name := sizeAttribute
	if p.class == &legacyClass {
		name = legacySizeAttribute
	}
	m.SetAttribute(name, strconv.Itoa(len(m.Body)))
	m.Body = p.marshal()
	return nil
}

// Middleware loads the body of a message that is a pointer, and passes a copy of the
// message to the handler that has this body and lacks the attribute of a pointer.
// Other messages are passed on unchanged.
func (c *Check) Middleware(next handler.Handler) handler.Handler {
	return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
		if !Claimed(m) {
			return next.Handle(ctx, m)
		}
		body, err := c.load(ctx, m)
		if err != nil {
			return err
		}
		full := *m // with its origin and its lease
		full.Body = body
		full.Attributes = maps.Clone(m.Attributes)
		delete(full.Attributes, sizeAttribute)
		delete(full.Attributes, legacySizeAttribute)
		return next.Handle(ctx, &full)
	})
}

// Stream is a middleware that lets the handler read bodies with [Open]. It reads
// nothing itself. The handler receives the message unchanged, with the pointer as its
// body.
func (c *Check) Stream(next handler.Handler) handler.Handler {
	return handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
		if Claimed(m) {
			ctx = context.WithValue(ctx, key{}, c)
		}
		return next.Handle(ctx, m)
	})
}

// large reports whether a message's body must be put into the bucket.
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
	// The bytes are examined only near the threshold.
	size += base64.StdEncoding.EncodedLen(len(m.Body)) - len(m.Body)
	return size > c.cfg.Threshold && !sqstext.Valid(m.Body)
}

// find returns the declared bucket that a pointer refers to.
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

func (c *Check) open(ctx context.Context, m *handler.Message) (*watchedReader, *pointer, error) {
	p, err := parse(m.Body)
	if err != nil {
		return nil, nil, handler.Reject(fmt.Errorf("%w: %w", ErrMalformed, err))
	}
	b, err := c.find(p)
	if err != nil {
		return nil, nil, handler.Reject(err)
	}
	w := watched(ctx, silence)
	r, err := b.Blob.NewReader(w.ctx, p.key, nil)
	w.heard()
	if err != nil {
		defer w.end()
		return nil, nil, failure(ctx, b, p, w.why(err))
	}
	return &watchedReader{r, w, r.Size(), b}, p, nil
}

// load reads a body into memory.
func (c *Check) load(ctx context.Context, m *handler.Message) (body []byte, err error) {
	r, p, err := c.open(ctx, m)
	if err != nil {
		return nil, err
	}
	defer func() {
		if cerr := r.Close(); err == nil && cerr != nil {
			body, err = nil, trouble(p, "", cerr)
		}
	}()
	if r.size > c.cfg.MaxBytes {
		return nil, handler.Reject(fmt.Errorf("%w: it has %d bytes; the limit is %d (raise Config.MaxBytes, or stream the body with Check.Stream and Open), %v",
			ErrTooLarge, r.size, c.cfg.MaxBytes, p))
	}
	if r.size <= 0 {
		return c.unsized(ctx, r, p)
	}
	// The store reports the size, not the message.
	body = make([]byte, r.size)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, failure(ctx, r.bucket, p, err)
	}
	return body, nil
}

// unsized reads a body whose size the store does not report, as one that answers in chunks:
// gocloud.dev's size is then -1 or 0.
func (c *Check) unsized(ctx context.Context, r *watchedReader, p *pointer) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, c.cfg.MaxBytes+1))
	switch {
	case err != nil:
		return nil, failure(ctx, r.bucket, p, err)
	case int64(len(body)) > c.cfg.MaxBytes:
		return nil, handler.Reject(fmt.Errorf("%w: it has more than %d bytes (raise Config.MaxBytes, or stream the body with Check.Stream and Open), %v",
			ErrTooLarge, c.cfg.MaxBytes, p))
	default:
		return body, nil
	}
}
