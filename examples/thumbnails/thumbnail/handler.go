package thumbnail

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/sluice-go/sluice/handler"
)

// The defaults of a [Config].
const (
	DefaultSize      = 256
	DefaultMaxBytes  = 32 << 20
	DefaultMaxPixels = 40_000_000
)

// Config configures a [Handler]. The zero Config has the defaults.
type Config struct {
	// Bucket is the name of the bucket that events must be about. An event about
	// another is rejected: its object is not in the bucket that is read. Empty
	// means that every name is that bucket's.
	Bucket string

	// Size is the longest side of a thumbnail in pixels. Zero means DefaultSize.
	Size int

	// MaxBytes is the largest file that is read, MaxPixels the largest image
	// that is decoded, which takes up to four bytes of memory a pixel. Zero
	// means DefaultMaxBytes and DefaultMaxPixels.
	MaxBytes, MaxPixels int64

	// Wrote, if not nil, is called for each thumbnail, also for one that was
	// there already. It is called concurrently.
	Wrote func(t Thumbnail)
}

// A Thumbnail is what a [Handler] made.
type Thumbnail struct {
	// From is the image's key, Key the thumbnail's.
	From, Key string
	// Existed reports whether an earlier delivery had made it.
	Existed bool
}

// A Handler makes thumbnails. It is a [handler.Handler] and may be used
// concurrently.
type Handler struct {
	in, out *blob.Bucket
	cfg     Config
}

// New returns a Handler that reads images from in and writes thumbnails to out.
// A nil config is the defaults. It returns an error if a number is below zero.
func New(in, out *blob.Bucket, c *Config) (*Handler, error) {
	var cfg Config
	if c != nil {
		cfg = *c
	}
	if cfg.Size < 0 || cfg.MaxBytes < 0 || cfg.MaxPixels < 0 {
		return nil, errors.New("thumbnail: Size, MaxBytes and MaxPixels must not be negative")
	}
	if cfg.Size == 0 {
		cfg.Size = DefaultSize
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.MaxPixels == 0 {
		cfg.MaxPixels = DefaultMaxPixels
	}
	return &Handler{in: in, out: out, cfg: cfg}, nil
}

// Handle makes the thumbnails of the objects that an event names.
func (h *Handler) Handle(ctx context.Context, m *handler.Message) error {
	objects, err := ParseEvent(m)
	if err != nil {
		return err
	}
	// A failure that may pass counts before one that will not: the message comes
	// again, and finds done what could be done.
	var rejected error
	for _, o := range objects {
		err := h.thumbnail(ctx, o)
		switch handler.VerdictOf(err).Action {
		case handler.ActionRetry:
			return err
		case handler.ActionDeadLetter, handler.ActionDrop:
			rejected = errors.Join(rejected, err)
		case handler.ActionAck:
		}
	}
	return rejected
}

func (h *Handler) thumbnail(ctx context.Context, o Object) error {
	if h.cfg.Bucket != "" && o.Bucket != h.cfg.Bucket {
		return handler.Reject(fmt.Errorf("the event is about the bucket %q, and this handler reads %q", o.Bucket, h.cfg.Bucket))
	}
	content, err := h.read(ctx, o)
	if err != nil {
		return err
	}
	small, format, err := shrink(content, h.cfg.Size, h.cfg.MaxPixels)
	if err != nil {
		// The whole file was read: what is wrong with it stays wrong.
		return handler.Reject(fmt.Errorf("%s: %w", o.Key, err))
	}
	encoded, extension, contentType, err := encode(small, format)
	if err != nil {
		return fmt.Errorf("%s: %w", o.Key, err)
	}
	t := Thumbnail{From: o.Key, Key: h.key(o.Key, content, extension)}
	if t.Existed, err = h.out.Exists(ctx, t.Key); err != nil {
		return fmt.Errorf("look for %s: %w", t.Key, err)
	}
	if !t.Existed {
		if err := h.write(ctx, t.Key, encoded, contentType); err != nil {
			return fmt.Errorf("write %s: %w", t.Key, err)
		}
	}
	if h.cfg.Wrote != nil {
		h.cfg.Wrote(t)
	}
	return nil
}

// key names the thumbnail of a content, so that one of the same image and size
// is the same object, and that of a newer image of the same name another.
func (h *Handler) key(from string, content []byte, extension string) string {
	sum := sha256.Sum256(content)
	return fmt.Sprintf("%s.%s.%d%s", from, hex.EncodeToString(sum[:6]), h.cfg.Size, extension)
}

// read reads an object whole.
func (h *Handler) read(ctx context.Context, o Object) ([]byte, error) {
	tooLarge := func(size int64) error {
		return handler.Reject(fmt.Errorf("%s: the file is too large: %d bytes, and %d are allowed", o.Key, size, h.cfg.MaxBytes))
	}
	if o.Size > h.cfg.MaxBytes {
		return nil, tooLarge(o.Size)
	}
	r, err := h.in.NewReader(ctx, o.Key, nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, handler.Reject(fmt.Errorf("%s: the object is not there, or not any more: %w", o.Key, err))
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", o.Key, err)
	}
	defer r.Close()
	// The size in the event can be old, or missing.
	if r.Size() > h.cfg.MaxBytes {
		return nil, tooLarge(r.Size())
	}
	content, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", o.Key, err)
	}
	return content, nil
}

// write puts an object into the bucket whole or not at all: a writer whose
// context has ended when it is closed leaves nothing behind.
func (h *Handler) write(ctx context.Context, key string, content []byte, contentType string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := h.out.NewWriter(ctx, key, &blob.WriterOptions{ContentType: contentType})
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		cancel()
		return errors.Join(err, w.Close())
	}
	return w.Close()
}
