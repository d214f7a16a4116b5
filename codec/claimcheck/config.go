package claimcheck

import (
	"errors"

	"gocloud.dev/blob"

	"github.com/sluice-go/sluice/internal/setting"
)

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
