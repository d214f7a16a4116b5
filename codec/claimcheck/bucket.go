package claimcheck

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"

	"gocloud.dev/blob"

	"github.com/sluice-go/sluice/internal/setting"
)

// A Bucket is a bucket for bodies. Its owner must close Blob after the last use.
type Bucket struct {
	// Name is the bucket's name in pointers, by which other clients know it. It is
	// required.
	Name string

	// Format is the format of pointers to the bucket. Zero means [S3].
	Format Format

	// Prefix begins every key: new keys have it, and a pointer to a key without it
	// is refused. It may contain letters, digits and . _ - and /. Reserve a prefix,
	// or a bucket, for bodies: anyone who may send to the queue can make a consumer
	// read any object below it. Empty means no prefix, like the Extended Client's
	// default.
	Prefix string

	// Blob is the open bucket, without a prefix. It is required.
	Blob *blob.Bucket

	folder bool // it is one, by New
}

// isFolder reports whether a bucket is a folder that is there: gocloud.dev/blob/fileblob
// takes one that is missing, as on a disk that is not mounted, for an empty bucket.
func isFolder(b *blob.Bucket) bool {
	var info os.FileInfo
	return b.As(&info)
}

// OpenBucket opens the bucket at a URL of gocloud.dev/blob, such as
// s3://bodies?region=us-east-1&prefix=orders/ or gs://bodies, whose driver the
// program must link (gocloud.dev/blob/s3blob, gcsblob, fileblob, …). Name is the
// bucket's name, or the path of a bucket that is a folder. Format is S3 for s3://,
// GCS for gs:// and Other for all others. Prefix is the parameter prefix. The caller
// must close Blob.
func OpenBucket(ctx context.Context, rawURL string) (Bucket, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return Bucket{}, errors.New("claim check: the bucket's URL is malformed") // its text may hold a secret
	}
	// gocloud would omit the prefix from the keys, and so from pointers.
	q := u.Query()
	b := Bucket{Name: u.Host, Format: Other, Prefix: q.Get("prefix")}
	q.Del("prefix")
	u.RawQuery = q.Encode()
	switch u.Scheme {
	case "s3":
		b.Format = S3
	case "gs":
		b.Format = GCS
	default:
		b.Name += u.Path
		if b.Name == "" {
			b.Name = u.Scheme // mem://
		}
	}
	if b.Blob, err = blob.OpenBucket(ctx, u.String()); err != nil {
		return Bucket{}, fmt.Errorf("claim check: open bucket %q: %w", b.Name, err)
	}
	return b, nil
}

// goodPrefix matches the prefixes that the Extended Client accepts. No driver of
// gocloud.dev/blob has to escape them.
var goodPrefix = regexp.MustCompile(`^[a-zA-Z0-9._/-]*$`)

func (b *Bucket) validate() error {
	p := b.Prefix
	form := strings.HasPrefix(p, "/") || strings.Contains(p, "//") || strings.Contains(p, "../")
	return errors.Join(
		setting.Refuse(b.Name == "", "the bucket's Name is empty"),
		setting.Refuse(b.Blob == nil, "bucket %q: Blob is nil", b.Name),
		setting.Refuse(b.Format > Other, "bucket %q: Format is %d: it must be S3, GCS or Other", b.Name, b.Format),
		setting.Refuse(!goodPrefix.MatchString(p), "bucket %q: Prefix is %q: it may have letters, digits and . _ - /", b.Name, p),
		setting.Refuse(form, "bucket %q: Prefix is %q: it must not begin with / nor contain // or ../", b.Name, p),
		setting.Refuse(len(p) > maxKey-keyLength, "bucket %q: Prefix has %d bytes: the limit is %d", b.Name, len(p), maxKey-keyLength),
	)
}
