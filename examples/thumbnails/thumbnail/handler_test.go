package thumbnail_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"

	"github.com/sluice-go/sluice/examples/thumbnails/thumbnail"
	"github.com/sluice-go/sluice/handler"
)

// fixture is a file of the example's testdata.
func fixture(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "testdata", filepath.FromSlash(name)))
	require.NoError(t, err)
	return content
}

func memory(t testing.TB) *blob.Bucket {
	t.Helper()
	b := memblob.OpenBucket(nil)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

func put(t testing.TB, b *blob.Bucket, key string, content []byte) {
	t.Helper()
	require.NoError(t, b.WriteAll(t.Context(), key, content, nil))
}

func keys(t testing.TB, b *blob.Bucket) []string {
	t.Helper()
	var ks []string
	for list := b.List(nil); ; {
		o, err := list.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return ks
		}
		require.NoError(t, err)
		ks = append(ks, o.Key)
	}
}

func event(t testing.TB, key string) *handler.Message {
	t.Helper()
	m, err := thumbnail.S3Event(thumbnail.Object{Bucket: "photos", Key: key, Size: 1})
	require.NoError(t, err)
	return m
}

func TestImagesBecomeThumbnails(t *testing.T) {
	for _, c := range []struct {
		file, format string
		w, h         int
	}{
		{"sunset.jpg", "jpeg", 256, 170},
		{"portrait.jpg", "jpeg", 170, 256},
		{"holidays/panorama.jpg", "jpeg", 256, 32},
		{"holidays/beach 1+1 (100%).jpg", "jpeg", 256, 192},
		{"fractal.png", "png", 256, 192},
		{"tall.png", "png", 43, 256},
		{"icon.png", "png", 32, 32},
		{"pixel.png", "png", 1, 1},
		{"wheel.gif", "png", 256, 256},
	} {
		t.Run(c.file, func(t *testing.T) {
			in, out := memory(t), memory(t)
			put(t, in, c.file, fixture(t, c.file))
			var made []thumbnail.Thumbnail
			h, err := thumbnail.New(in, out, &thumbnail.Config{Bucket: "photos", Wrote: func(th thumbnail.Thumbnail) { made = append(made, th) }})
			require.NoError(t, err)
			require.NoError(t, h.Handle(t.Context(), event(t, c.file)))

			require.Len(t, made, 1)
			require.Equal(t, c.file, made[0].From)
			require.False(t, made[0].Existed)
			require.Equal(t, []string{made[0].Key}, keys(t, out))
			content, err := out.ReadAll(t.Context(), made[0].Key)
			require.NoError(t, err)
			img, format, err := image.Decode(bytes.NewReader(content))
			require.NoError(t, err)
			require.Equal(t, c.format, format)
			require.Equal(t, image.Pt(c.w, c.h), img.Bounds().Size())
		})
	}
}

func TestTransparencyStays(t *testing.T) {
	in, out := memory(t), memory(t)
	put(t, in, "plot.png", fixture(t, "plot.png"))
	h, err := thumbnail.New(in, out, nil)
	require.NoError(t, err)
	require.NoError(t, h.Handle(t.Context(), event(t, "plot.png")))
	content, err := out.ReadAll(t.Context(), keys(t, out)[0])
	require.NoError(t, err)
	img, err := png.Decode(bytes.NewReader(content))
	require.NoError(t, err)
	var clear, opaque bool
	for y := range img.Bounds().Dy() {
		_, _, _, a := img.At(img.Bounds().Dx()/2, y).RGBA()
		clear, opaque = clear || a < 0x4000, opaque || a > 0xc000
	}
	require.True(t, clear, "the gaps between the rings are see-through")
	require.True(t, opaque, "the rings are not")
}

func TestPoisonIsRejectedWithItsReason(t *testing.T) {
	for _, c := range []struct{ key, says string }{
		{"truncated.jpg", "truncated.jpg: the jpeg is broken: "},
		{"notes.png", "notes.png: not an image that can be read: image: unknown format"},
		{"bomb.png", "bomb.png: the png is too large: 100000 by 100000 pixels, and 40000000 pixels are allowed"},
		{"missing.jpg", "missing.jpg: the object is not there, or not any more"},
		{"empty.jpg", "empty.jpg: not an image that can be read"},
		{"long.jpg", "long.jpg: the file is too large: 100001 bytes, and 100000 are allowed"},
	} {
		t.Run(c.key, func(t *testing.T) {
			in, out := memory(t), memory(t)
			for _, f := range []string{"truncated.jpg", "notes.png", "bomb.png"} {
				put(t, in, f, fixture(t, f))
			}
			put(t, in, "empty.jpg", nil)
			put(t, in, "long.jpg", make([]byte, 100_001))
			h, err := thumbnail.New(in, out, &thumbnail.Config{MaxBytes: 100_000})
			require.NoError(t, err)
			err = h.Handle(t.Context(), event(t, c.key))
			require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(err).Action)
			require.ErrorContains(t, err, c.says)
			require.Empty(t, keys(t, out))
		})
	}
}

func TestAFileThatTheEventCallsTooLargeIsNotRead(t *testing.T) {
	h, err := thumbnail.New(memory(t), memory(t), &thumbnail.Config{MaxBytes: 10})
	require.NoError(t, err)
	m, err := thumbnail.StorageEvent(thumbnail.Object{Bucket: "b", Key: "not-even-there.jpg", Size: 11})
	require.NoError(t, err)
	err = h.Handle(t.Context(), m)
	require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(err).Action)
	require.ErrorContains(t, err, "too large: 11 bytes")
}

func TestAnotherBucketIsRejected(t *testing.T) {
	in := memory(t)
	put(t, in, "icon.png", fixture(t, "icon.png"))
	h, err := thumbnail.New(in, memory(t), &thumbnail.Config{Bucket: "mine"})
	require.NoError(t, err)
	err = h.Handle(t.Context(), event(t, "icon.png"))
	require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(err).Action)
	require.ErrorContains(t, err, `the event is about the bucket "photos", and this handler reads "mine"`)
}

func TestAStoreOutOfReachIsRetried(t *testing.T) {
	in := memblob.OpenBucket(nil)
	require.NoError(t, in.Close())
	h, err := thumbnail.New(in, memory(t), nil)
	require.NoError(t, err)
	err = h.Handle(t.Context(), event(t, "icon.png"))
	require.Error(t, err)
	require.Equal(t, handler.ActionRetry, handler.VerdictOf(err).Action)

	in, out := memory(t), memblob.OpenBucket(nil)
	require.NoError(t, out.Close())
	put(t, in, "icon.png", fixture(t, "icon.png"))
	h, err = thumbnail.New(in, out, nil)
	require.NoError(t, err)
	err = h.Handle(t.Context(), event(t, "icon.png"))
	require.Error(t, err)
	require.Equal(t, handler.ActionRetry, handler.VerdictOf(err).Action)
}

func TestSeveralObjectsInOneEvent(t *testing.T) {
	body := func(keys ...string) *handler.Message {
		var records []string
		for _, k := range keys {
			records = append(records, fmt.Sprintf(`{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":%q}}}`, k))
		}
		return &handler.Message{Body: []byte(`{"Records":[` + strings.Join(records, ",") + `]}`)}
	}
	in, out := memory(t), memory(t)
	for _, f := range []string{"icon.png", "pixel.png", "notes.png"} {
		put(t, in, f, fixture(t, f))
	}
	h, err := thumbnail.New(in, out, nil)
	require.NoError(t, err)
	err = h.Handle(t.Context(), body("icon.png", "notes.png", "pixel.png"))
	require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(err).Action)
	require.ErrorContains(t, err, "notes.png")
	require.Len(t, keys(t, out), 2, "the poison does not keep the others from being made")
}

// The same event, many times concurrently, on a directory: one whole file, whoever
// wins.
func TestDeliveredAgainAndAtOnce(t *testing.T) {
	dir := t.TempDir()
	out, err := fileblob.OpenBucket(dir, &fileblob.Options{NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, out.Close()) })
	in := memory(t)
	put(t, in, "icon.png", fixture(t, "icon.png"))
	h, err := thumbnail.New(in, out, nil)
	require.NoError(t, err)

	var wg sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		wg.Go(func() { errs[i] = h.Handle(context.Background(), event(t, "icon.png")) })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 1)
	first, err := os.ReadFile(filepath.Join(dir, files[0].Name()))
	require.NoError(t, err)

	// A new image under the old name is another thumbnail; the old one stays.
	put(t, in, "icon.png", fixture(t, "pixel.png"))
	require.NoError(t, h.Handle(t.Context(), event(t, "icon.png")))
	require.Len(t, keys(t, out), 2)
	again, err := os.ReadFile(filepath.Join(dir, files[0].Name()))
	require.NoError(t, err)
	require.Equal(t, first, again)
}

func TestACanceledWriteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	out, err := fileblob.OpenBucket(dir, &fileblob.Options{NoTempDir: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, out.Close()) })
	in := memory(t)
	put(t, in, "icon.png", fixture(t, "icon.png"))
	h, err := thumbnail.New(in, out, nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = h.Handle(ctx, event(t, "icon.png"))
	require.Error(t, err)
	require.Equal(t, handler.ActionRetry, handler.VerdictOf(err).Action)
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, files)
}

func TestNewRefusesNegativeNumbers(t *testing.T) {
	_, err := thumbnail.New(nil, nil, &thumbnail.Config{Size: -1})
	require.ErrorContains(t, err, "must not be negative")
}

func BenchmarkHandle(b *testing.B) {
	in, out := memory(b), memory(b)
	put(b, in, "fractal.png", fixture(b, "fractal.png"))
	h, err := thumbnail.New(in, out, nil)
	require.NoError(b, err)
	m := event(b, "fractal.png")
	for b.Loop() {
		if err := h.Handle(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
}
