import type { Language } from '../languages.ts';

/** What single words are of: who or what a text speaks about, and what is done to it. A word is of the first field that has it. */
export const FIELDS = ['body', 'being', 'harm', 'remedy', 'taken', 'device', 'service', 'money', 'relief'] as const;
export type Field = (typeof FIELDS)[number];

/** Beginnings of words, on normalised text; those that end in a space are whole words. */
export const FIELD_WORDS: Readonly<Record<Language, Readonly<Record<Field, string>>>> = {
  en: {
    body: 'hand |hands |arm |arms |face |leg |legs |neck |finger|thumb|foot |feet |toe |toes |eye |eyes |eyelid|lip |lips |tongue|scalp|chest|throat|ankle|skin |wrist|elbow|knee|shoulder|back |head |nose |mouth|gum |gums |tooth|teeth|stomach|belly|tummy|gut |guts |ear |ears |heart |lung|liver|kidney|rib |ribs |hip |palm|nail |nails |forehead|cheek|chin |thigh|shin |heel|muscle|bone|brain|hair |blood|forearm|knuckle|pulse',
    being:
      'i |me |we |us |son |daughter|wife |husband|mother|father|mum |mom |dad |baby |babies|toddler|newborn|child|kid |kids |grandma|grandpa|granny|grandmother|grandfather|brother|sister|nephew|niece|friend|colleague|neighbour|neighbor|partner|patient|dog |cat |puppy|kitten|rabbit|pet |boy |girl |twin|uncle|aunt |guest|hamster|horse',
    harm: 'burn|scald|scorch|singe|cut |cuts |slice|stab|crush|pinch|trap|hurt|injur|bruis|bleed|bled |wound|sting|stung|itch|swell|swoll|rash|hives|blister|vomit|nause|puk|sick |ill |unwell|dizz|faint|collaps|chok|suffocat|poison|infect|fever|shock|zap|jolt|electrocut|explod|explos|flame|fire |smok|spark|melt|died |dead |death|kill|pain|ache|cramp|migraine|numb|seizure|allerg|fell |fall |slip|crash|broke |snapp|burst|shatter|splinter|asthma|wheez|cough|breath|panic|anxi|depress|suicid|diarr|hospital|ambulance|overdos|toxic|mould|mold|blood clot|peel|ulcer|scar |scars',
    remedy:
      'pill|tablet|capsule|syrup|drops|injection|jab |vaccin|inhaler|ointment|patch|medic|drug |drugs|antibiotic|dose|supplement|vitamin|insulin|statin|painkiller|infusion|treatment|prescription',
    taken:
      'cream|lotion|shampoo|soap|serum|mascara|deodorant|sunscreen|perfume|mask|dye |lipstick|food|meal|chicken|salad|juice|yoghurt|yogurt|soup|chocolate|cheese|fish|drink|tea |coffee|milk|bread|formula|cereal|sauce|wine|balm|gel ',
    device:
      'charger|battery|phone|laptop|kettle|toaster|heater|oven|iron |blender|lamp|plug|cable|scooter|bike|car |pram|stroller|cot |crib|seat|toy |chair|ladder|machine|drill|screen|printer|headphone|speaker|vacuum|fridge|socket|helmet|brake|tyre|tire ',
    service:
      'app |website|login|password|account|server|update|software|menu|interface|hotline|support|staff|agent|courier|parcel|delivery|order|refund|driver|chat|email|form |button|setting|checkout|notification|bug |download|browser',
    money:
      'price|pric|cost|fee |fees|bill|invoice|euro|pound|dollar|money|wallet|discount|deal |cheap|expensive|charge|bank|budget|subscription|rate |rates',
    relief:
      'reliev|sooth|calm|heal|cure|ease|vanish|disappear|gone |clear|gentle|help|protect|prevent|against|soft |history|better',
  },
  es: {
    body: 'mano|brazo|cara |pierna|cuello|dedo|pulgar|pie |pies |ojo|parpado|labio|lengua|cabeza|cabelludo|pecho|garganta|tobillo|piel |muneca |codo |rodilla|hombro|espalda|nariz|boca|encia|diente|muela|estomago|barriga|tripa|vientre|oreja|oido|corazon|pulmon|higado|rinon|costilla|cadera|palma|frente|mejilla|barbilla|muslo|espinilla|talon|musculo|hueso|cerebro|pelo |sangre|antebrazo|pulso|axila',
    being:
      'yo |me |nos |mi |hijo|hija|mujer|marido|madre|padre|mama |papa |bebe|nino|nina|ninos|recien|crio|peque|abuel|herman|sobrin|amig|companer|vecin|pareja|paciente|perr|gat[oa]|cachorr|conejo|mascota|gemel|tio |tia |invitad|cliente',
    harm: 'quem|escald|chamusc|abras|cort[oea]|rebano|clav|aplast|pellizc|pill[oe]|atrap|herid|hiri|lesion|morat|sangr|escoc|escuec|arde|ardor|pic[oa]r|picaz|hinch|sarpull|roncha|urticaria|ampolla|vomit|nause|mareo|marea|mare|enferm|malo |mala |desmay|desplom|colaps|atragant|asfix|ahog|veneno|intoxic|infec|infecc|fiebre|calambr|descarga|electrocut|explot|estall|revent|llama|fuego|incend|humo|chispa|derrit|derret|muri|muert|mata|dolor|duel|dolio|retortij|migrana|entumec|hormigue|convuls|alergi|cai |cayo|resbal|estrell|choque|chocar|choco |accident|rompi|partio|astill|asma|pitos|tos |respir|panico|ansied|depres|suicid|diarrea|hospital|urgencias|ambulancia|ingres|sobredosis|toxic|moho|ulcera|cicatri|llaga',
    remedy:
      'pastilla|comprimid|capsula|jarabe|gotas|inyeccion|vacuna|inhalador|pomada|parche|medicament|medicina|medicacion|farmaco|antibiotico|dosis|suplement|vitamina|insulina|estatina|analgesico|infusion|tratamiento|receta|pinchazo',
    taken:
      'crema|locion|champu|jabon|serum|rimel|desodorante|protector|perfume|mascarilla|tinte|labial|comida|pollo|ensalada|zumo|yogur|sopa|chocolate|queso|pescado|bebida|cafe|leche|pan |potito|cereal|salsa|vino|balsamo|gel |cera ',
    device:
      'cargador|bateria|movil|telefono|portatil|hervidor|tostadora|estufa|horno|plancha|batidora|lampara|enchufe|cable|patinete|bici|coche|carrito|cuna|silla|juguete|escalera|maquina|taladro|sierra|pantalla|impresora|auricular|altavoz|aspiradora|nevera|casco|freno|rueda',
    service:
      'app |aplicacion|web |pagina|contrasena|cuenta|servidor|actualiza|menu|interfaz|atencion|soporte|personal|agente|repartidor|mensajero|paquete|envio|entrega|pedido|reembolso|chat|correo|formulario|boton|ajuste|notifica|descarga la|navegador',
    money:
      'precio|cuesta|coste|cost|tarifa|comision|factura|euro|dinero|cartera|descuento|oferta|barat|caro |cara de|cobr|banco|presupuesto|suscripcion|cuota|pag[oa]',
    relief: 'alivi|calm|cur[oa]|sana|quit|desapare|se fue|se acab|protege|previen|contra|suave|ayud|mejor|adios',
  },
  fr: {
    body: 'main |mains|bras |visage|jambe|cou |doigt|pouce|pied|orteil|oeil|yeux|paupiere|levre|langue|crane|chevelu|poitrine|gorge|cheville|peau |poignet|coude|genou|epaule|dos |tete |nez |bouche|gencive|dent |dents|molaire|estomac|ventre|bide|oreille|coeur|poumon|foie|rein |reins|cote |cotes|hanche|paume|ongle|front |joue|menton|cuisse|tibia|talon|muscle|os |cerveau|cheveu|sang |pouls|aisselle',
    being:
      "je |j'ai|j'|m'a|m'ont|nous |moi |mon |ma |fils |fille|femme|mari |mere|pere|maman|papa|bebe|enfant|gosse|gamin|petit |petite |nouveau-ne|grand-|mamie|papi|frere|soeur|neveu|niece|ami |amie|collegue|voisin|compagn|patient|chien|chat |chatte|chiot|lapin|jumeau|jumel|oncle|tante|invite|client",
    harm: 'brul|ebouillant|roussi|coup[eé]|entaill|tranch|poignard|ecras|broy|pinc|coinc|bless|bleu |bleus|saign|piqu|pique|gratt|demange|gonfl|plaque|urticaire|cloque|vomi|nause|gerb|malade|malaise|vertige|evanou|effondr|etouff|suffo|empoison|intoxi|infect|fievre|decharge|electrocut|electrocu|explos|eclat|flamb|feu |incend|fum[eé]|etincel|fondu|fondre|mort |morte|mouru|tue |douleur|mal |crampe|migraine|engourd|fourmill|convuls|crise|allerg|tomb|gliss|accident|cass[eé]|echarde|asthme|siffl|tou[sx]|respir|panique|angoiss|anxie|deprim|suicid|diarrhee|hopital|hospital|urgences|samu|ambulance|perfusion|surdos|toxique|moisi|ulcere|cicatri|plaie',
    remedy:
      'cachet|comprime|gelule|sirop|gouttes|piqure|injection|vaccin|inhalateur|pommade|patch|medicament|medoc|traitement|antibio|dose|complement|vitamine|insuline|statine|antidouleur|ordonnance',
    taken:
      'creme|lotion|shampoing|savon|serum|mascara|deodorant|solaire|parfum|masque|teinture|rouge a|repas|poulet|salade|jus |yaourt|soupe|chocolat|fromage|poisson|boisson|the |cafe|lait|pain |puree|cereale|sauce|vin |baume|gel |cire',
    device:
      'chargeur|batterie|telephone|portable|ordinateur|bouilloire|grille|radiateur|four |fer |mixeur|lampe|prise|cable|trottinette|velo|voiture|poussette|lit |siege|jouet|chaise|echelle|machine|perceuse|scie|ecran|imprimante|casque|enceinte|aspirateur|frigo|frein|pneu|roue',
    service:
      'appli|site |page|passe |compte|serveur|mise a|menu|interface|conseill|support|personnel|agent|livreur|coursier|colis|livraison|commande|rembours|chat en|mail|formulaire|bouton|parametre|reglage|notification|telecharg|navigateur|hotline|accueil',
    money:
      'prix|cout|tarif|frais|facture|euro|argent|portefeuille|remise|reduction|promo|pas cher|cher |chere|banque|budget|abonnement|prelev|paye|payer',
    relief:
      'soulag|apais|calm|gueri|disparu|parti |partie|envol|protege|contre|doux|douce|aide|mieux|fini |evite|empeche|adieu',
  },
};
