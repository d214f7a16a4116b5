package cli

import (
	"context"

	"github.com/spf13/pflag"
	_ "gocloud.dev/blob/fileblob" // file://
	_ "gocloud.dev/blob/s3blob"   // s3://

	"github.com/sluice-go/sluice/codec/claimcheck"
	"github.com/sluice-go/sluice/handler"
)

// claimVar is the flag of the commands that can keep large bodies in a bucket.
func claimVar(fl *pflag.FlagSet, url *string, what string) {
	fl.StringVar(url, "claim-check", "", what+" in the bucket at `URL` (s3://B?region=R, gs://B with the tag sluice_gcs, file:///DIR; &prefix=P begins its keys)")
}

// A claims keeps large bodies in the bucket that a flag names. The zero claims,
// if none was named, leaves messages alone.
type claims struct {
	bucket claimcheck.Bucket
	check  *claimcheck.Check
}

func newClaims(ctx context.Context, command, url string) (*claims, error) {
	if url == "" {
		return &claims{}, nil
	}
	b, err := openBucket(ctx, command, "--claim-check", url)
	if err != nil {
		return nil, err
	}
	c := &claims{bucket: b}
	if c.check, err = claimcheck.New(b, nil); err != nil {
		_ = b.Blob.Close() // nothing was done with it
		return nil, usage("%s: --claim-check: %w", command, err)
	}
	return c, nil
}

// prepare appends the hook of a producer that puts large bodies into the bucket.
func (c *claims) prepare(hooks []func(context.Context, *handler.Message) error) []func(context.Context, *handler.Message) error {
	if c.check == nil {
		return hooks
	}
	return append(hooks, c.check.Prepare)
}

// wrap has a handler get bodies from the bucket.
func (c *claims) wrap(h handler.Handler) handler.Handler {
	if c.check == nil {
		return h
	}
	return c.check.Middleware(h)
}

// whole returns a message with its body, or the message as it is and the reason.
func (c *claims) whole(ctx context.Context, m *handler.Message) (*handler.Message, error) {
	full := m
	err := c.wrap(handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		full = m
		return nil
	})).Handle(ctx, m)
	return full, err
}

// Close closes the bucket.
func (c *claims) Close() error {
	if c.check == nil {
		return nil
	}
	return c.bucket.Blob.Close()
}
