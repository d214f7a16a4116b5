package compress

import (
	"cmp"
	"errors"

	"github.com/sluice-go/sluice/internal/setting"
)

// Config configures compression and decompression. The zero Config selects the
// defaults.
type Config struct {
	// Encoding is the encoding of compressed bodies: [Gzip], which every program
	// reads, or [Zstd], which is smaller and faster to read. Empty means Zstd.
	// Decoding supports both in any case.
	Encoding string

	// MinBytes is the length of the shortest body that is compressed. Zero means
	// 1 KiB; 1 compresses every body. A body that would not become shorter is not
	// compressed.
	MinBytes int

	// MaxBytes is the length of the longest decompressed body, and so bounds the
	// memory that one message can claim: a kilobyte of gzip can be a megabyte of
	// zeros. Zero means 64 MiB.
	MaxBytes int
}

// complete returns a copy of c with its defaults, and its faults.
func (c *Config) complete() (Config, error) {
	d := setting.Copy(c)
	d.Encoding = cmp.Or(d.Encoding, Zstd)
	return d, errors.Join(
		setting.Refuse(d.Encoding != Gzip && d.Encoding != Zstd, "Encoding is %q: it must be %q or %q", d.Encoding, Gzip, Zstd),
		setting.Default("MinBytes", &d.MinBytes, 1<<10),
		setting.Default("MaxBytes", &d.MaxBytes, 64<<20),
	)
}
