//go:build sluice_mongo || sluice_all

package open

import _ "gocloud.dev/docstore/mongodocstore" // mongo://
