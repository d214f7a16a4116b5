//go:build sluice_gcs || sluice_all

package cli

import _ "gocloud.dev/blob/gcsblob" // gs://
