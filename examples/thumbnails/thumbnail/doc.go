// Package thumbnail is a queue handler that makes a thumbnail of each image that
// is put into a bucket.
//
// Its messages are object-created events, in either of two shapes: that of an S3
// event notification, and that of a Cloud Storage notification. The image is read
// and the thumbnail written through gocloud.dev/blob, so that both buckets can be
// directories, or at S3 or Cloud Storage.
//
// It knows no queue: of Sluice it imports package handler only. Its verdicts:
//
//	the thumbnail is written, or was there already    ack
//	the bucket cannot be read or written              an error: retried
//	no event, another bucket's, no image, a broken
//	image, one that is too large, one that is gone    rejected, with the reason
//	an event of another kind (removed, archived)      dropped
//
// It may run twice on the same event, or on two at the same time, and the outcome is the
// same: a thumbnail's name is made from the image's name and content and the
// thumbnail's size, and it appears in the bucket whole or not at all.
package thumbnail
