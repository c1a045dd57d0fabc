# SPDX-License-Identifier: Apache-2.0
"""A maker's whole line and one device's update, for `sh -e` in an empty folder.

FIELDPOST_HOME, FIELDPOST_BOARD and FIELDPOST_PASSPHRASE_FILE (there: passphrase) are set around it.
"""

from typing import Final

LINE: Final = """
echo 'a long sentence that only you know' > passphrase
fieldpost maker init --name "Example Lamps" --one-key
fieldpost maker register --contact security@lamps.example --yes
fieldpost class add lamp:r1 --family "Lamp One" --support-end 2036-12-31 --image-bytes 2000000
fieldpost class trust lamp:r1 --out lamp.provisioning
head -c 100000 /dev/urandom > old.bin
head -c 100000 /dev/urandom > new.bin
fieldpost agent enrol --home lamp --provisioning lamp.provisioning --serial P001 \
  --base old.bin --base-sequence 1 --base-version 1.0
sed -i 's|^health_check = .*|health_check = ["/bin/sh", "-c", "test -s $FIELDPOST_IMAGE"]|' \
  lamp/agent.toml
mkdir requests
cp lamp/P001.enrol requests
fieldpost lot enrol lamp:r1 --requests requests
fieldpost release publish lamp:r1 old.bin --version 1.0
fieldpost release publish lamp:r1 new.bin --version 1.1
fieldpost rollout set lamp:r1 --offer 2=100%
fieldpost agent once --home lamp
fieldpost fleet status lamp:r1
"""
