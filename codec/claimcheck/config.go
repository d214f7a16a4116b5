package claimcheck

import (
	"errors"

	"gocloud.dev/blob"

	"github.com/sluice-go/sluice/internal/setting"
)

// Config configures a [Check]. The zero Config, like nil, selects the defaults.
type Config struct {
	// Threshold is the size in bytes above which a body is put into the bucket. It
	// counts body and attributes together, like SQS, with a binary body as base64.
	// Zero means 240 KiB: older SQS queues accept 256, and the driver and tracing
	// add some.
	Threshold int

	// Always puts every body that is not empty into the bucket.
	Always bool

	// Legacy writes S3 pointers in the form that Extended Clients before 1.1 and
	// 2.0 read. All forms are read.
	Legacy bool

	// Also lists more buckets from which bodies are read, and deleted by a
	// [Deleter]: those of other senders, or the same bucket with another prefix.
	Also []Bucket

	// MaxBytes is the size of the largest body that [Check.Middleware] loads. A
	// message with a larger one is rejected. Zero means 64 MiB. Memory must suffice
	// for as many bodies as handlers run concurrently.
	MaxBytes int64

	// Write has options for uploads, such as encryption with a particular key. Nil
	// sets the content type application/octet-stream.
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
