package claimcheck

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The output of the Extended Clients, byte by byte: Jackson has no spaces (Java),
// json.dumps has (Python).
const (
	java   = `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"large","s3Key":"9ec82d81-67a4-4d0c-b5ab-5b1b1ab1bd32"}]`
	python = `["software.amazon.payloadoffloading.PayloadS3Pointer", {"s3BucketName": "large", "s3Key": "9ec82d81-67a4-4d0c-b5ab-5b1b1ab1bd32"}]`
	old    = `["com.amazon.sqs.javamessaging.MessageS3Pointer",{"s3BucketName":"large","s3Key":"9ec82d81-67a4-4d0c-b5ab-5b1b1ab1bd32"}]`
	google = `["sluice.claimcheck.GCSPointer",{"gcsBucketName":"large","gcsKey":"9ec82d81-67a4-4d0c-b5ab-5b1b1ab1bd32"}]`
	other  = `["sluice.claimcheck.BlobPointer",{"bucket":"large","key":"9ec82d81-67a4-4d0c-b5ab-5b1b1ab1bd32"}]`
)

func TestPointersAreWrittenAndReadByteByByte(t *testing.T) {
	const key = "9ec82d81-67a4-4d0c-b5ab-5b1b1ab1bd32"
	for _, tc := range []struct {
		class       *class
		text, again string
	}{
		{&s3Class, java, java},
		{&s3Class, python, java},
		{&legacyClass, old, old},
		{&gcsClass, google, google},
		{&otherClass, other, other},
	} {
		p, err := parse([]byte(tc.text))
		require.NoError(t, err)
		require.Equal(t, pointer{tc.class, "large", key}, *p)
		require.Equal(t, tc.again, string(p.marshal()))
	}
	p := pointer{&s3Class, "b", "a<b>&\u00e9\"\\"}
	require.Equal(t, `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b","s3Key":"a<b>&é\"\\"}]`, string(p.marshal()))
}

func TestMalformedPointersSayWhatIsWrong(t *testing.T) {
	const class = `"software.amazon.payloadoffloading.PayloadS3Pointer"`
	for body, text := range map[string]string{
		"":                "not a JSON array",
		"\xff":            "not UTF-8",
		"{}":              "not a JSON array",
		"null":            "0 elements",
		java + "x":        "not a JSON array",
		"[" + class + "]": "1 elements",
		"[" + class + `,{"s3BucketName":"b","s3Key":"k"},1]`:                                   "3 elements",
		`[1,{"s3BucketName":"b","s3Key":"k"}]`:                                                 "first element",
		`["java.lang.Runtime",{"s3BucketName":"b","s3Key":"k"}]`:                               `class "java.lang.Runtime" is unknown`,
		`["` + strings.Repeat("é", 300) + `",{}]`:                                              "…\" is unknown",
		"[" + class + `,[]]`:                                                                   "not an object",
		"[" + class + `,null]`:                                                                 "no string s3BucketName",
		"[" + class + `,{"s3BucketName":"b"}]`:                                                 "no string s3Key",
		"[" + class + `,{"s3BucketName":"b","s3Key":""}]`:                                      "no string s3Key",
		"[" + class + `,{"s3BucketName":"b","s3Key":null}]`:                                    "no string s3Key",
		"[" + class + `,{"s3BucketName":7,"s3Key":"k"}]`:                                       "no string s3BucketName",
		"[" + class + `,{"S3BUCKETNAME":"b","S3KEY":"k"}]`:                                     "no string s3BucketName",
		`["sluice.claimcheck.GCSPointer",{"s3BucketName":"b","s3Key":"k"}]`:                    "no string gcsBucketName",
		"[" + class + `,{"s3BucketName":"b","s3Key":"` + strings.Repeat("k", maxKey+1) + `"}]`: "1025 bytes",
		strings.Repeat("[", 20_000):                                                            "not a JSON array",
	} {
		_, err := parse([]byte(body))
		require.ErrorContains(t, err, text, "%.100q", body)
	}
}

// Whatever a sender sends, it is refused or it is a pointer that comes back the
// same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{java, python, old, google, other, "", "[]", "[1,2]", `["",{}]`, "\xff", `["sluice.claimcheck.BlobPointer",{"bucket":"\u0000","key":"\ud800"}]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := parse(body)
		if err != nil {
			require.Nil(t, p)
			require.Less(t, len(err.Error()), 500, "the error repeats what anyone has sent")
			return
		}
		require.NotEmpty(t, p.bucket)
		require.NotEmpty(t, p.key)
		require.LessOrEqual(t, len(p.key), maxKey)
		again, err := parse(p.marshal())
		require.NoError(t, err)
		require.Equal(t, p, again)
	})
}
