package compress

import (
	"cmp"
	"errors"

	"github.com/sluice-go/sluice/internal/setting"
)

// Config says how bodies are compressed and decompressed. The zero Config has
// the defaults.
type Config struct {
	// Encoding is what bodies are compressed with: [Gzip], which everything
	// reads, or [Zstd], which is smaller and faster to read. Empty means
	// Zstd. Decoding knows both, whatever it is.
	Encoding string

	// MinBytes is the shortest body that is compressed. Zero means
	// 1 KiB, 1 compresses every body. One that would not get
	// shorter is left as it is.
	MinBytes int

	// MaxBytes is how long a decompressed body may be, and with it the memory
	// that one message can claim: a kilobyte of gzip can be a megabyte of zeros.
	// Zero means 64 MiB.
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
